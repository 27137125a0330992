"""Migration operations of capture triggers. Migrations of users refer to these names."""

from typing import Any

from django.db import router
from pgtrigger import migrations


class _OfTheSourceModel:
    """Migrated where its source model is, whether or not Django manages that model's table."""

    def allow_migrate_model_trigger(self, schema_editor: Any, model: Any) -> bool:
        alias = schema_editor.connection.alias
        concrete = model._meta.concrete_model
        return schema_editor.connection.vendor == "postgresql" and router.allow_migrate_model(alias, concrete)


class AddCaptureTrigger(_OfTheSourceModel, migrations.AddTrigger):
    """Installs a capture trigger on the table that its SQL names, which may be another model's."""


class RemoveCaptureTrigger(_OfTheSourceModel, migrations.RemoveTrigger):
    """Removes a capture trigger with its function."""
