"""The triggers of a source model: INSERT, DELETE and TRUNCATE per statement, UPDATE per row.

Measured over 200k rows: an UPDATE is cheapest row by row behind a WHEN clause, an INSERT by transition table with the
keys of many rows in one event.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import pgtrigger
from django.db import models
from pgtrigger import compiler

from pgknowbase.capture.compiler import CaptureSqlV1, CaptureTriggerV1, quote
from pgknowbase.capture.paths import Watch
from pgknowbase.registry import Source
from pgknowbase.sql_files import read_sql

INSERT, UPDATE, DELETE, TRUNCATE = (f"pgknowbase_{name}" for name in ("insert", "update", "delete", "truncate"))
KEYS_PER_EVENT = 100
LONGEST_NAME = 40
# Their text depends on the session's DateStyle; their JSON does not.
TEMPORAL = ("DateField", "DateTimeField", "TimeField")


class Distinct(pgtrigger.Condition):
    """True where one of the columns changed its value."""

    def __init__(self, columns: Iterable[str]) -> None:
        super().__init__(changed_sql(columns))


class CaptureTrigger(pgtrigger.Trigger):
    """A trigger that writes the outbox. It belongs to a source model, though it may stand on another table."""

    def __init__(self, watch: Watch, **options: Any) -> None:
        self.watch = watch
        super().__init__(**options)

    def get_pgid(self, model: Any) -> str:
        """The name of trigger and function. pgtrigger's own five digits are too few for many models."""
        digest = hashlib.sha256(self.get_uri(model).encode()).hexdigest()[:10]
        return f"pgtrigger_{self.name}_{digest}"

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

    def get_installation_status(self, model: Any, database: str | None = None) -> tuple[str, bool | None]:
        """For ``manage.py pgtrigger ls``: looks on the table where the trigger stands."""
        on_table: Any = _OnTable(model, self.watch.table)
        return super().get_installation_status(on_table, database)


class _OnTable:
    """A source model as pgtrigger reads it, but with another table."""

    def __init__(self, model: type[models.Model], table: str) -> None:
        self._meta = type("Meta", (), {**_public(model._meta), "db_table": table})


def _public(opts: Any) -> dict[str, Any]:
    return {name: getattr(opts, name) for name in ("app_label", "object_name", "model_name", "concrete_model", "label")}


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

    keys = [key.column for key in watch.keys]
    on_update = Distinct(dict.fromkeys([*keys, *watch.columns]))
    made = [trigger("update", pgtrigger.Update, pgtrigger.Row, condition=on_update)]
    if watch.lifecycle:
        new, old = pgtrigger.Referencing(new="new_rows"), pgtrigger.Referencing(old="old_rows")  # type: ignore[no-untyped-call]
        made += [
            trigger("insert", pgtrigger.Insert, pgtrigger.Statement, referencing=new),
            trigger("delete", pgtrigger.Delete, pgtrigger.Statement, referencing=old),
            trigger("truncate", pgtrigger.Truncate, pgtrigger.Statement),
        ]
    return made


def _name(source: Source, operation: str, watch: Watch) -> str:
    """A name of its own for each trigger of a model, and for those of a proxy, which share its table."""
    parts = [operation, *([source.model._meta.model_name] if source.model._meta.proxy else []), watch.name]
    return trigger_name(*parts)


def trigger_name(*parts: str) -> str:
    """One name of ``parts``, short and plain enough for pgtrigger; what is cut off it is in a hash."""
    name = "_".join(filter(None, parts)).lower()
    plain = re.sub(r"[^a-z0-9_]", "", name)
    if plain == name and len(name) <= LONGEST_NAME:
        return name
    return f"{plain[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def key_sql(keys: Iterable[Any], row: str) -> str:
    """The SQL that gives the key of ``row`` as text; ``pgknowbase.keys`` reads it."""
    texts = [_text(field, f"{row}.{quote(field.column)}") for field in keys]
    return texts[0] if len(texts) == 1 else f"jsonb_build_array({', '.join(texts)})::text"


def _text(field: Any, value: str) -> str:
    while field.is_relation:
        field = field.target_field
    return f"to_jsonb({value}) #>> '{{}}'" if field.get_internal_type() in TEMPORAL else f"{value}::text"


def changed_sql(columns: Iterable[str]) -> str:
    return " OR ".join(f"OLD.{q} IS DISTINCT FROM NEW.{q}" for q in map(quote, columns))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _body(operation: str, source: Source, watch: Watch) -> str:
    is_truncate = operation == "truncate"
    keys = {f"{row.lower()}_key": key_sql(watch.keys, row) for row in ("OLD", "NEW", "old_rows", "new_rows")}
    return (
        read_sql(f"1_trigger/{operation}_v1.sql")
        .format(
            source=literal(source.label),
            path=literal(watch.name if is_truncate else watch.lookup),
            distinct="DISTINCT" if watch.is_link else "",
            page_size=KEYS_PER_EVENT,
            rekeyed=changed_sql(key.column for key in watch.keys),
            **keys,
        )
        .strip()
    )


def register_triggers(source: Source) -> None:
    """Put the triggers of ``source`` into pgtrigger's registry, from where ``makemigrations`` takes them."""
    pgtrigger.register(*capture_triggers(source))(source.model)
