"""Loading source rows in bulk, with what their watched paths lead to, in a constant number of queries."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.db import models
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.core.keys import parse_keys
from pgknowbase.errors import RenderError
from pgknowbase.sources.declaration import SourceRow
from pgknowbase.sources.paths import accessor, is_guarded, is_many, walk
from pgknowbase.sources.registry import Source

Model = TypeVar("Model", bound=models.Model)


def load_rows(source: Source, keys: Sequence[str], using: str) -> dict[str, SourceRow]:
    """The rows of ``keys`` that exist, by object key, as the model's ``get_external_queryset()`` loads them.

    Raises:
        RenderError: that hook returned something other than a queryset of the model.
    """
    rows = source.model.get_external_queryset()
    if not isinstance(rows, models.QuerySet) or not issubclass(rows.model, source.model):
        returned = rows.model._meta.label if isinstance(rows, models.QuerySet) else type(rows).__name__
        raise RenderError(f"get_external_queryset() returned {returned!r}: return a queryset of {source.label!r}.")
    pks = parse_keys(source.model, keys)
    return {row.external_source_id: row for row in rows.using(using).filter(pk__in=pks)}


def with_relations(rows: models.QuerySet[Model], paths: Iterable[str]) -> models.QuerySet[Model]:
    """``rows`` with the relations along ``paths``: joined where they lead to one row, prefetched where to many.

    A foreign key without a constraint may point at a row that does not exist. An inner join would lose the source row,
    so such a relation is prefetched too.
    """
    joined: set[str] = set()
    prefetched: dict[str, None] = {}
    for path in paths:
        relations = [step for step in walk(rows.model, path) if step.is_relation]
        if any(is_many(step) or (step.concrete and not is_guarded(step)) for step in relations):
            prefetched[LOOKUP_SEP.join(accessor(step) for step in relations)] = None
        elif relations:
            joined.add(LOOKUP_SEP.join(step.name for step in relations))
    found: Any = rows.select_related(*sorted(joined)) if joined else rows
    return found.prefetch_related(*prefetched) if prefetched else found  # type: ignore[no-any-return]
