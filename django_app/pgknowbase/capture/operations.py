"""Migration operations of capture triggers. Migrations of users refer to these names."""

from typing import Any

from django.db import router
from django.db.migrations.operations import RenameModel
from pgtrigger import migrations

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.migration_operations import DatabaseOperation
from pgknowbase.core.repeatable import replace_installed_objects
from pgknowbase.core.routing import is_same_database


class _OfTheSourceModel:
    """Migrated where its source model is, whether or not Django manages that model's table."""

    def allow_migrate_model_trigger(self, schema_editor: Any, model: Any) -> bool:
        alias = schema_editor.connection.alias
        concrete = model._meta.concrete_model
        return schema_editor.connection.vendor == "postgresql" and router.allow_migrate_model(alias, concrete)


class AddCaptureTrigger(_OfTheSourceModel, migrations.AddTrigger):
    """Installs a capture trigger on the table that its SQL names, which may be another model's."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        # Unlike pgtrigger's, without rendering the model and all that are related to it again, which with many triggers
        # is most of the time of a migration. So a rendered model may lack some of its triggers: read its state.
        options = state.models[app_label, self.model_name].options
        options["triggers"] = [*options.get("triggers", ()), self.trigger]


class RemoveCaptureTrigger(_OfTheSourceModel, migrations.RemoveTrigger):
    """Removes a capture trigger with its function."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        # As above.
        options = state.models[app_label, self.model_name].options
        options["triggers"] = [each for each in options.get("triggers", ()) if each.name != self.name]


class RenameSource(DatabaseOperation):
    """Hands what the outbox holds of a source model to its new label, such as ``'blog.Note'`` to ``'blog.Memo'``.

    ``migrate`` runs it after every ``RenameModel``. Write it into a migration of your own where a model gets another
    app label or moves to another app; then it takes the objects in the index along too.
    """

    def __init__(self, old_label: str, new_label: str) -> None:
        self.old_label = old_label
        self.new_label = new_label

    def forwards(self, schema_editor: Any) -> None:
        self._rename(schema_editor.connection.alias, self.old_label, self.new_label)

    def backwards(self, schema_editor: Any) -> None:
        self._rename(schema_editor.connection.alias, self.new_label, self.old_label)

    def run(self, using: str, *, backwards: bool = False) -> None:
        """Do it outside a migration, where the index is in this database."""
        if is_same_database(using, get_settings().database):
            labels = (self.old_label, self.new_label)
            self._rename(using, *(reversed(labels) if backwards else labels))

    def describe(self) -> str:
        return f"Hand changes of {self.old_label} to {self.new_label}"

    def _rename(self, using: str, old: str, new: str) -> None:
        # Users import this module in migrations, which may be before the apps are loaded.
        from django.contrib.contenttypes.models import ContentType

        # A migration of the app may run before pgknowbase's own, and before a release's new functions are there.
        if gateway.fetch_value(using, "is_installed"):
            replace_installed_objects(using, app="pgknowbase")
            gateway.fetch(using, "source_rename", old_label=old, new_label=new)
            ContentType.objects.clear_cache()


class RemoveSource(DatabaseOperation):
    """Takes all objects of a model out of the index, and what waits for it out of the outbox.

    ``makemigrations`` writes it where a model is not a source model any more, or is deleted: its rows must not stay
    searchable, with nothing to notice that they change or go. There is no way back but to bring the rows in again.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    def forwards(self, schema_editor: Any) -> None:
        using = schema_editor.connection.alias
        if gateway.fetch_value(using, "is_installed"):
            replace_installed_objects(using, app="pgknowbase")
            gateway.fetch(using, "source_remove", label=self.label)

    def describe(self) -> str:
        return f"Remove {self.label} from the index"


def rename_late_changes(plan: Any = None, using: str = "default", **kwargs: Any) -> None:
    """After migrate: hand over what the old triggers wrote after a model was renamed and before they were replaced."""
    for migration, backwards in plan or ():
        for operation in migration.operations:
            if isinstance(operation, RenameSource):
                operation.run(using, backwards=backwards)


def rename_sources(plan: Any = None, using: str = "default", **kwargs: Any) -> None:
    """Before migrate: insert ``RenameSource`` after every planned ``RenameModel``, as Django does for content types."""
    for migration, _ in plan or ():
        for place, operation in reversed(list(enumerate(migration.operations))):
            if isinstance(operation, RenameModel):
                labels = (f"{migration.app_label}.{name}" for name in (operation.old_name, operation.new_name))
                migration.operations.insert(place + 1, RenameSource(*labels))
