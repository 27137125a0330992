from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApiConfig(AppConfig):
    name = "pgknowbase.api"
    label = "pgknowbase_api"
    verbose_name = "Knowledge base API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgknowbase.apps import replace_functions

        post_migrate.connect(replace_functions, sender=self)
