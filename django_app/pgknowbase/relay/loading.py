"""Loading source rows in bulk, with what their watched paths lead to, in a constant number of queries."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.capture.paths import accessor, is_many, walk

Model = TypeVar("Model", bound=models.Model)


def with_relations(rows: models.QuerySet[Model], paths: Iterable[str]) -> models.QuerySet[Model]:
    """``rows`` with the relations along ``paths`` joined where they lead to one row, prefetched where to many."""
    joined: set[str] = set()
    prefetched: dict[str, None] = {}
    for path in paths:
        relations = [step for step in walk(rows.model, path) if step.is_relation]
        many = next((place for place, step in enumerate(relations) if is_many(step)), None)
        if many is None and relations:
            joined.add(LOOKUP_SEP.join(step.name for step in relations))
        elif many is not None:
            prefetched[_attributes(relations)] = None
    found: Any = rows.select_related(*sorted(joined)) if joined else rows
    return found.prefetch_related(*prefetched) if prefetched else found  # type: ignore[no-any-return]


def _attributes(relations: Iterable[Any]) -> str:
    return LOOKUP_SEP.join(accessor(step) for step in relations)
