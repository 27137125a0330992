import logging
from typing import Any

from django.apps import AppConfig, apps
from django.core.signals import request_finished
from django.db import DatabaseError, transaction
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_delete, pre_migrate

logger = logging.getLogger("pgknowbase")


class PgKnowbaseConfig(AppConfig):
    name = "pgknowbase"
    verbose_name = "Knowledge base"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here and below: what imports models can be imported only after the apps are loaded.
        from pgknowbase import checks  # noqa: F401 - registers the system checks
        from pgknowbase.capture import (
            autodetector,
            declarations,
            operations,
            schema_editor,
            tracing,
            triggers,
            unmigrated,
        )
        from pgknowbase.costs.ledger import query_usage
        from pgknowbase.reactions import registry as reactions
        from pgknowbase.reactions.triggers import register_triggers
        from pgknowbase.sources.registry import sources

        autodetector.install()
        schema_editor.install()
        for source in sources():
            triggers.register_triggers(source)
        reactions.discover(register_triggers)
        pre_migrate.connect(operations.rename_sources, sender=self)
        post_migrate.connect(replace_functions, sender=self)
        # After the functions, which these need.
        post_migrate.connect(tracing.follow_settings, sender=self)
        post_migrate.connect(unmigrated.install_triggers, sender=self)
        post_migrate.connect(_create_space, sender=self)
        post_migrate.connect(_report_unindexed)
        post_migrate.connect(operations.rename_late_changes, sender=self)
        post_migrate.connect(declarations.record_declarations, sender=self)
        connection_created.connect(tracing.wrap_statements, dispatch_uid="pgknowbase.tracing")
        request_finished.connect(query_usage.write_after_request, dispatch_uid="pgknowbase.query_usage")
        pre_delete.connect(_drop_documents, sender="contenttypes.ContentType")


def replace_functions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """After migrate: bring the functions and views that an app has created up to the files of the installed release."""
    from pgknowbase.conf import get_settings
    from pgknowbase.core.repeatable import replace_installed_objects
    from pgknowbase.core.routing import is_same_database

    if is_same_database(using, get_settings().database):
        replace_installed_objects(using, app=sender.label)


def _create_space(using: str, **kwargs: Any) -> None:
    """After migrate: create the embedding space that the settings ask for, if there is none."""
    from pgknowbase.conf import get_settings
    from pgknowbase.core import gateway
    from pgknowbase.core.routing import is_same_database
    from pgknowbase.spaces.specification import ensure_space

    if is_same_database(using, get_settings().database) and gateway.fetch_value(using, "is_installed"):
        ensure_space(using)


def _report_unindexed(sender: AppConfig, using: str, verbosity: int = 1, stdout: Any = None, **kwargs: Any) -> None:
    """After migrate: say which source models have rows that no trigger has seen, and what brings them in.

    At the last app's signal: each app's signal creates the content types of its models.
    """
    from pgknowbase.conf import get_settings
    from pgknowbase.core import gateway
    from pgknowbase.core.routing import is_same_database
    from pgknowbase.operations.unindexed import unindexed_models

    if verbosity < 1 or sender != [app for app in apps.get_app_configs() if app.models_module is not None][-1]:
        return
    if not is_same_database(using, get_settings().database) or not gateway.fetch_value(using, "is_installed"):
        return
    try:
        with transaction.atomic(using=using):
            for found in unindexed_models(using):
                print(f"{found}: run '{found.command}'.", file=stdout)
    except DatabaseError as error:
        # A migration to an earlier state: the tables are not those of the models.
        logger.info("rows that the index does not know were not counted: %s", error)


def _drop_documents(instance: Any, using: str, **kwargs: Any) -> None:
    """With a content type go its external data (by foreign key), documents and chunks (by pgai's trigger)."""
    from pgknowbase.models import Document

    Document.objects.using(using).filter(source=instance.pk).delete()
