"""The triggers of a source model: INSERT, DELETE and TRUNCATE per statement, UPDATE per row.

Measured over 200k rows: an UPDATE is cheapest row by row behind a WHEN clause, an INSERT by transition table.
"""

from collections.abc import Sequence
from typing import Any

import pgtrigger
from django.db import models
from pgtrigger import compiler

from pgknowbase.capture.compiler import CaptureSqlV1, CaptureTriggerV1, quote
from pgknowbase.registry import Source
from pgknowbase.sql_files import read_sql

INSERT, UPDATE, DELETE, TRUNCATE = (f"pgknowbase_{name}" for name in ("insert", "update", "delete", "truncate"))


class _Distinct(pgtrigger.Condition):
    """True where one of the columns changed its value."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(" OR ".join(f"OLD.{q} IS DISTINCT FROM NEW.{q}" for q in map(quote, columns)))


class CaptureTrigger(pgtrigger.Trigger):
    """A trigger that writes the outbox."""

    def compile(self, model: Any) -> compiler.Trigger:
        """The trigger with its SQL, as it goes into a migration."""
        return CaptureTriggerV1(
            name=self.name,
            sql=CaptureSqlV1(
                pgid=self.get_pgid(model),
                func=self.render_func(model),
                table=model._meta.db_table,
                when=self.when,
                operation=self.operation,
                referencing=self.referencing or "",
                level=self.level,
                condition=self.render_condition(model),
            ),
        )


def capture_triggers(source: Source) -> list[CaptureTrigger]:
    """The triggers that ``source`` needs; none without ``auto_sync``."""
    if not source.config.auto_sync:
        return []
    keys = key_columns(source.model)
    watched = list(dict.fromkeys([*keys, *(column.column for column in source.columns)]))
    return [
        CaptureTrigger(
            name=INSERT,
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(new="new_rows"),  # type: ignore[no-untyped-call]
            func=_body("insert", source),
        ),
        CaptureTrigger(
            name=UPDATE,
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            level=pgtrigger.Row,
            condition=_Distinct(watched),
            func=_body("update", source),
        ),
        CaptureTrigger(
            name=DELETE,
            when=pgtrigger.After,
            operation=pgtrigger.Delete,
            level=pgtrigger.Statement,
            referencing=pgtrigger.Referencing(old="old_rows"),  # type: ignore[no-untyped-call]
            func=_body("delete", source),
        ),
        CaptureTrigger(
            name=TRUNCATE,
            when=pgtrigger.After,
            operation=pgtrigger.Truncate,
            level=pgtrigger.Statement,
            func=_body("truncate", source),
        ),
    ]


def key_columns(model: type[models.Model]) -> list[str]:
    """Columns of the primary key."""
    pk: Any = model._meta.pk
    return [field.column for field in getattr(pk, "fields", [pk])]


def _key(model: type[models.Model], row: str) -> str:
    columns = [f"{row}.{quote(column)}" for column in key_columns(model)]
    return f"{columns[0]}::text" if len(columns) == 1 else f"jsonb_build_array({', '.join(columns)})::text"


def _body(operation: str, source: Source) -> str:
    return (
        read_sql(f"1_trigger/{operation}_v1.sql")
        .format(
            source="'" + source.label.replace("'", "''") + "'",
            old_key=_key(source.model, "OLD"),
            new_key=_key(source.model, "NEW"),
            old_rows_key=_key(source.model, "old_rows"),
            new_rows_key=_key(source.model, "new_rows"),
        )
        .strip()
    )


def register_triggers(source: Source) -> None:
    """Put the triggers of ``source`` into pgtrigger's registry, from where ``makemigrations`` takes them."""
    pgtrigger.register(*capture_triggers(source))(source.model)
