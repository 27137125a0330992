"""Migrations that change the type of a watched column: triggers come back as they were, with comment and state."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.utils import load_backend
from pgtrigger.migrations import DatabaseSchemaEditorMixin

from pgknowbase.capture.triggers import CaptureTrigger
from pgknowbase.core import gateway

Base: Any = DatabaseSchemaEditorMixin


class CaptureSchemaEditorMixin(Base):  # type: ignore[misc]
    """pgtrigger's schema editor, which drops a trigger while the type of a column changes that its condition reads.

    It makes the trigger again from its definition. That has neither the comment, by which pgtrigger and the doctor know
    what is installed, nor says that the trigger was disabled.
    """

    def create_model(self, model: Any) -> None:
        """As Django's, without declared capture triggers, which ``unmigrated`` installs when ``migrate`` ends.

        Only the models of an app without migrations declare any here, and ``migrate`` makes their tables first of all.
        """
        declared = getattr(model._meta, "triggers", [])
        model._meta.triggers = [trigger for trigger in declared if not isinstance(trigger, CaptureTrigger)]
        try:
            super().create_model(model)
        finally:
            model._meta.triggers = declared

    def _alter_field(self, *args: Any, **kwargs: Any) -> None:
        # pgtrigger compares the types, but a new collation is a change of the type for Postgres too.
        with self.alter_field_type():
            super()._alter_field(*args, **kwargs)

    @contextmanager
    def temporarily_drop_trigger(self, trigger: str, table: str) -> Iterator[None]:
        # By the name of the trigger, which is unique: of the table pgtrigger reads one word from a message.
        using = self.connection.alias
        self.temporarily_dropped_triggers.add((table, trigger))
        try:
            with transaction.atomic(using=using):
                found = gateway.fetch(using, "installed_trigger", name=trigger)
                for on_table, *_ in found:
                    gateway.drop_trigger(using, trigger, on_table)
                yield
                for on_table, definition, comment, enabled in found:
                    gateway.restore_trigger(using, trigger, on_table, definition, comment, enabled)
        finally:
            self.temporarily_dropped_triggers.remove((table, trigger))


def install() -> None:
    """Wrap the schema editors of the Postgres backends that the project uses, also where pgtrigger has wrapped them."""
    for config in settings.DATABASES.values():
        if not config.get("ENGINE"):
            continue
        wrapper: Any = load_backend(config["ENGINE"]).DatabaseWrapper
        current = wrapper.SchemaEditorClass
        if current and issubclass(current, DatabaseSchemaEditor) and not issubclass(current, CaptureSchemaEditorMixin):
            wrapper.SchemaEditorClass = type("DatabaseSchemaEditor", (CaptureSchemaEditorMixin, current), {})
