"""What hooks read that no path watches: such a value is as old in the index as the row's last watched change.

Seen are the columns of the rows that are loaded for a batch, source rows and what is joined or prefetched with them, on
a few rows of each batch; and of each statement that a hook runs, its tables, its conditions and the columns that it
picks out. Not seen are the columns of whole rows that a hook loads by itself from a table that is watched.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.apps import apps
from django.db import models

from pgknowbase.sources.declaration import SourceRow
from pgknowbase.sources.registry import Source

# The rows of a batch on which each read of a column is noted.
SAMPLED_ROWS = 3
TABLE = re.compile(r'\b(?:FROM|JOIN)\s+(?:ONLY\s+)?(?:"?[\w$]+"?\.)?"?([^\s",.()]+)"?', re.IGNORECASE)
COLUMN = re.compile(r'"([^"]+)"\."([^"]+)"')
# They change with the code and not with the data.
CONSTANT_TABLES = {"django_content_type", "django_migrations"}


class HookReads:
    """Notes what the hooks of one source model read, and keeps what is not watched.

    Args:
        running: the name of the hook that runs, '' between hooks.

    Attributes:
        unwatched: (hook, what it read) pairs, such as ``("get_external_tags", "blog.Category.name")``; of a table of
            which no column is watched, that a statement named, only the model.
    """

    def __init__(self, source: Source, running: Callable[[], str]) -> None:
        self.unwatched: set[tuple[str, str]] = set()
        self._running = running
        self._columns = {(watch.table, column) for watch in source.watches for column in watch.columns}
        self._tables = {watch.table for watch in source.watches}

    @contextmanager
    def observed(self, row: SourceRow) -> Iterator[None]:
        """Note the columns of ``row``, and of the rows loaded with it, that are read while the block lasts."""
        rows = list(_loaded(row, set()))
        classes: list[type[models.Model]] = [type(each) for each in rows]
        for each, cls in zip(rows, classes, strict=True):
            each.__class__ = _observing(cls)
            vars(each)["_pgknowbase_read"] = self._read
        try:
            yield
        finally:
            for each, cls in zip(rows, classes, strict=True):
                vars(each).pop("_pgknowbase_read", None)
                each.__class__ = cls

    def statement(self, sql: str) -> None:
        """Note the tables of a statement that a hook runs, its conditions and the columns that it picks out."""
        named = {name for name in TABLE.findall(sql) if name in _models_by_table() and name not in CONSTANT_TABLES}
        head, _, conditions = sql.partition(" FROM ")
        used = set(COLUMN.findall(conditions))
        picked = set(COLUMN.findall(head))
        for table in named:
            model = _models_by_table()[table]
            if table not in self._tables:
                self._keep(model._meta.label)
                continue
            fields = {field.column: field for field in model._meta.local_concrete_fields}
            whole = {(table, column) for column in fields} <= picked
            for owner, column in used if whole else used | picked:
                if owner == table and column in fields:
                    self._read(fields[column])

    def _read(self, field: Any) -> None:
        table = field.model._meta.db_table
        if not field.primary_key and (table, field.column) not in self._columns:
            self._keep(f"{field.model._meta.label}.{field.name}")

    def _keep(self, what: str) -> None:
        if hook := self._running():
            self.unwatched.add((hook, what))


def _loaded(row: Any, seen: set[int]) -> Iterator[Any]:
    """``row`` and all rows that were joined to it or prefetched."""
    if id(row) in seen or not isinstance(row, models.Model):
        return
    seen.add(id(row))
    yield row
    related = list(row._state.fields_cache.values())
    for found in getattr(row, "_prefetched_objects_cache", {}).values():
        related += list(found) if not isinstance(found, models.Model) else [found]
    for each in related:
        yield from _loaded(each, seen)


@cache
def _observing(model: type[models.Model]) -> type[models.Model]:
    """``model`` with a ``__getattribute__`` that tells which fields are read. It belongs to no app."""
    fields = {name: field for field in model._meta.concrete_fields for name in (field.name, field.attname)}

    def __getattribute__(row: Any, name: str) -> Any:
        if name in fields and (read := object.__getattribute__(row, "__dict__").get("_pgknowbase_read")):
            read(fields[name])
        return super(observing, row).__getattribute__(name)

    namespace = {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__getattribute__": __getattribute__,
    }
    if "ExternalDataMeta" in vars(model):
        namespace["ExternalDataMeta"] = vars(model)["ExternalDataMeta"]
    # Past ModelBase.__new__, which would register a model.
    observing: Any = type.__new__(type(model), model.__name__, (model,), namespace)
    return observing  # type: ignore[no-any-return]


@cache
def _models_by_table() -> dict[str, type[models.Model]]:
    every = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model for model in every if not model._meta.proxy}
