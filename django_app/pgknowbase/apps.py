from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_delete


class PgKnowbaseConfig(AppConfig):
    name = "pgknowbase"
    verbose_name = "Knowledge base"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgknowbase import checks  # noqa: F401 - registers the system checks
        from pgknowbase.capture import autodetector, triggers
        from pgknowbase.reactions import registry as reactions
        from pgknowbase.reactions.triggers import register_triggers
        from pgknowbase.registry import sources

        autodetector.install()
        for source in sources():
            triggers.register_triggers(source)
        reactions.discover(register_triggers)
        post_migrate.connect(_create_space, sender=self)
        pre_delete.connect(_drop_documents, sender="contenttypes.ContentType")


def _create_space(using: str, **kwargs: Any) -> None:
    """After migrate: create the embedding space that the settings ask for, if there is none."""
    from pgknowbase import gateway
    from pgknowbase.conf import get_settings
    from pgknowbase.vectorizer.spaces import ensure_space

    if using == get_settings().database and gateway.fetch_value(using, gateway.LISTED_TABLES):
        ensure_space(using)


def _drop_documents(instance: Any, using: str, **kwargs: Any) -> None:
    """With a content type go its external data (by foreign key), documents and chunks (by pgai's trigger)."""
    from pgknowbase.models import Document

    Document.objects.using(using).filter(source=instance.pk).delete()
