"""The triggers of a source model: INSERT, DELETE and TRUNCATE per statement, UPDATE per row.

Measured over 200,000 rows: an UPDATE is cheapest with a row trigger behind a WHEN clause, which costs nothing where no
watched column changes; an INSERT with a transition table and the keys of many rows in one event.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pgtrigger
from django.db import models
from pgtrigger import compiler, registry

from pgknowbase.capture.compiler import CaptureSqlV1, CaptureTriggerV1
from pgknowbase.core.keys import database_type, key_sql, quote
from pgknowbase.core.sql_files import read_sql
from pgknowbase.sources.paths import Watch
from pgknowbase.sources.registry import Source

INSERT, UPDATE, DELETE, TRUNCATE = (f"pgknowbase_{name}" for name in ("insert", "update", "delete", "truncate"))
KEYS_PER_EVENT = 100
LONGEST_NAME = 40
TEXTS = {"text", "varchar", "character varying"}
# Types of which two values are equal only if the same bytes are stored.
EQUAL_IS_IDENTICAL = {
    *("smallint", "integer", "bigint", "smallserial", "serial", "bigserial", "boolean", "uuid", "bytea"),
    *("date", "time", "timestamp with time zone"),
}


class Changed(pgtrigger.Condition):
    """True where an UPDATE stores another value in one of the fields' columns."""

    def __init__(self, fields: Iterable[Any]) -> None:
        super().__init__(changed_sql(fields))


class CaptureTrigger(pgtrigger.Trigger):
    """A trigger that writes the outbox. It belongs to a source model, though it may stand on another table."""

    def __init__(self, watch: Watch, **options: Any) -> None:
        self.watch = watch
        super().__init__(**options)

    def get_pgid(self, model: Any) -> str:
        """The name of trigger and function. pgtrigger's own five digits are too few for many models."""
        return _pgid(self.name, self.get_uri(model))

    def compile(self, model: Any) -> compiler.Trigger:
        """The trigger with its SQL, as it goes into a migration."""
        return CaptureTriggerV1(
            name=self.name,
            sql=CaptureSqlV1(
                pgid=self.get_pgid(model),
                func=self.render_func(model),
                table=self.watch.table,
                when=self.when,
                operation=self.operation,
                referencing=self.referencing or "",
                level=self.level,
                condition=self.render_condition(model),
            ),
        )

    def register(self, *registered: Any) -> Any:
        """Register for each model, and let pgtrigger's commands find the trigger on the table where it stands.

        They look on the table of the model that a trigger is registered for. ``pgtrigger prune`` would drop a trigger
        that stands elsewhere, and ``enable`` and ``disable`` would not find it. The entry is set directly: pgtrigger
        allows one trigger of a name per table, and several source models may watch the same related table.
        """
        undo = super().register(*registered)
        for model in registered:
            if self.watch.table != model._meta.db_table:
                registry._registry.data[self.get_uri(model)] = (_OnTable(model, self.watch.table), self)
        return undo


@cache
def _pgid(name: str, uri: str) -> str:
    # pgtrigger asks for those of all triggers with each one that is registered.
    return f"pgtrigger_{name}_{hashlib.sha256(uri.encode()).hexdigest()[:10]}"


class _OnTable:
    """A source model as pgtrigger sees it, but with the table on which the trigger stands."""

    def __init__(self, model: type[models.Model], table: str) -> None:
        self._meta = _MetaOnTable(model._meta, table)


class _MetaOnTable:
    """``Meta`` of a model with another ``db_table``."""

    def __init__(self, opts: Any, table: str) -> None:
        self._opts = opts
        self.db_table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opts, name)


def registered_captures() -> list[tuple[Any, CaptureTrigger]]:
    """Every declared capture trigger with its source model, those of reactions included."""
    return [(model, trigger) for model, trigger in pgtrigger.registered() if isinstance(trigger, CaptureTrigger)]


def capture_triggers(source: Source) -> list[CaptureTrigger]:
    """The triggers that ``source`` needs; none without ``auto_sync``."""
    if not source.config.auto_sync:
        return []
    return [trigger for watch in source.watches for trigger in _triggers(source, watch)]


def _triggers(source: Source, watch: Watch) -> list[CaptureTrigger]:
    def trigger(name: str, operation: Any, level: Any, **options: Any) -> CaptureTrigger:
        return CaptureTrigger(
            watch,
            name=_name(source, f"pgknowbase_{name}", watch),
            when=pgtrigger.After,
            operation=operation,
            level=level,
            func=_body(name, source, watch),
            **options,
        )

    on_update = Changed([*watch.keys, *watch.columns.values()])
    new, old = pgtrigger.Referencing(new="new_rows"), pgtrigger.Referencing(old="old_rows")  # type: ignore[no-untyped-call]
    made = [
        trigger("update", pgtrigger.Update, pgtrigger.Row, condition=on_update),
        # Also where a foreign key keeps rows from going: until its check is due, another row may take their place.
        trigger("delete", pgtrigger.Delete, pgtrigger.Statement, referencing=old),
    ]
    if watch.lifecycle:
        made += [
            trigger("insert", pgtrigger.Insert, pgtrigger.Statement, referencing=new),
            trigger("truncate", pgtrigger.Truncate, pgtrigger.Statement),
        ]
    return made


def _name(source: Source, operation: str, watch: Watch) -> str:
    """A name of its own for each trigger of a model, and for those of a proxy, which share its table."""
    parts = [operation, *([source.model._meta.model_name] if source.model._meta.proxy else []), watch.name]
    return trigger_name(*parts)


def trigger_name(*parts: str) -> str:
    """A name of ``parts`` that pgtrigger accepts; a hash replaces what is cut off, so that it stays unique."""
    name = "_".join(filter(None, parts)).lower()
    plain = re.sub(r"[^a-z0-9_]", "", name)
    if plain == name and len(name) <= LONGEST_NAME:
        return name
    return f"{plain[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def changed_sql(fields: Iterable[Any]) -> str:
    """The condition that an UPDATE stores another value in one of the fields' columns.

    ``IS DISTINCT FROM`` asks the equality of the type, by which ``1.0`` is ``1.000`` and a citext 'a' is 'A', and json
    has none. Where several stored values of a type may be equal, the stored bytes are compared. The function does that
    and not its operator ``*<>``: pg_dump prints ``ROW(a) *<> ROW(b)``, which a restore reads as ``a *<> b``.

    The equality of an extension's type is not found by a restore at all: IS DISTINCT FROM cannot name its schema.
    """
    compared, images = [], []
    for column, field in {field.column: field for field in fields}.items():
        name, kind = quote(column), database_type(field)
        if kind in TEXTS:
            # Bytes again, whatever the collation of the column holds for equal.
            compared.append(f'OLD.{name} COLLATE "C" IS DISTINCT FROM NEW.{name} COLLATE "C"')
        elif kind in EQUAL_IS_IDENTICAL:
            compared.append(f"OLD.{name} IS DISTINCT FROM NEW.{name}")
        else:
            images.append(name)
    if images:
        old, new = (", ".join(f"{row}.{name}" for name in images) for row in ("OLD", "NEW"))
        compared.append(f"pg_catalog.record_image_ne(ROW({old}), ROW({new}))")
    return " OR ".join(compared)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _body(operation: str, source: Source, watch: Watch) -> str:
    is_truncate = operation == "truncate"
    keys = {f"{row.lower()}_key": key_sql(watch.keys, row) for row in ("OLD", "NEW", "old_rows", "new_rows")}
    return (
        read_sql(f"10_capture/{operation}_v1.sql")
        .format(
            source=literal(source.label),
            path=literal(watch.name if is_truncate else watch.lookup),
            distinct="DISTINCT" if watch.is_link else "",
            page_size=KEYS_PER_EVENT,
            rekeyed=changed_sql(watch.keys),
            **keys,
        )
        .strip()
    )


def register_triggers(source: Source) -> None:
    """Put the triggers of ``source`` into pgtrigger's registry, from where ``makemigrations`` takes them."""
    pgtrigger.register(*capture_triggers(source))(source.model)
