"""After migrate: the database notes what each source model watches, so that workers of other versions leave it."""

from typing import Any

import pgtrigger
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from pgtrigger import compiler

from pgknowbase.capture.triggers import capture_triggers
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.routing import is_same_database
from pgknowbase.sources.registry import Source, sources


def record_declarations(using: str, apps: Any = None, **kwargs: Any) -> None:
    """Note the watched paths of all source models, and let every row of those that have changed be rendered again.

    A model whose table is gone leaves the index.

    Args:
        apps: the models as the applied migrations make them; None where no migrate has run, such as after ``flush``.
    """
    if (
        apps is None
        or not is_same_database(using, get_settings().database)
        or not gateway.fetch_value(using, "is_installed")
    ):
        return
    applied = _applied_state(using)
    for source in sources():
        if _is_gone(source, apps, using):
            # The migrations of its app were reversed, which drops the table, and no trigger notices that.
            gateway.fetch(using, "source_remove", label=source.label)
            continue
        paths = list(source.paths) if source.config.auto_sync and _is_migrated(source, apps, applied) else None
        gateway.fetch(using, "source_declare", label=source.label, paths=paths)


def _is_gone(source: Source, apps: Any, using: str) -> bool:
    """Whether neither the applied migrations nor the database have the model."""
    try:
        apps.get_model(source.label)
    except LookupError:
        table = connections[using].ops.quote_name(source.model._meta.db_table)
        return not gateway.fetch_value(using, "table_exists", table=table)
    return False


def _is_migrated(source: Source, apps: Any, applied: ProjectState) -> bool:
    """Whether the applied migrations have installed the triggers that the model declares.

    They have not where ``migrate`` stopped at an earlier migration, or nobody has run ``makemigrations``.
    """
    options = source.model._meta
    try:
        model = apps.get_model(source.label)
    except LookupError:
        return False
    if (migrated := applied.models.get((options.app_label, str(options.model_name)))) is not None:
        triggers = migrated.options.get("triggers", [])
    else:  # its app has no migrations
        triggers = getattr(model._meta, "triggers", [])
    installed = [_compiled(model, trigger) for trigger in triggers]
    return all(trigger.compile(source.model) in installed for trigger in capture_triggers(source))


def _applied_state(using: str) -> ProjectState:
    """What the applied migrations make. Models that ``migrate`` hands on may lack triggers: see AddCaptureTrigger."""
    loader = MigrationLoader(connections[using])
    return loader.project_state([key for key in loader.applied_migrations if key in loader.graph.nodes])


def _compiled(model: Any, trigger: Any) -> compiler.Trigger:
    """Triggers of migrations are compiled; those of an app without migrations are the declared ones."""
    return trigger.compile(model) if isinstance(trigger, pgtrigger.Trigger) else trigger
