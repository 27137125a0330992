from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "pgknowbase.chat"
    label = "pgknowbase_chat"
    verbose_name = "Chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgknowbase.api.tokens import SCOPES  # imports models, which are not loaded before

        SCOPES["chat"] = "Chat, and read and delete the user's own sessions"
