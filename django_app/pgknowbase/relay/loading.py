"""Loading source rows in bulk, with what their watched paths lead to, in a constant number of queries."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.capture.paths import accessor, is_guarded, is_many, walk

Model = TypeVar("Model", bound=models.Model)


def with_relations(rows: models.QuerySet[Model], paths: Iterable[str]) -> models.QuerySet[Model]:
    """``rows`` with the relations along ``paths``: joined where they lead to one row, prefetched where to many.

    What an unguarded foreign key points at may be missing, and an inner join would lose the row: prefetched too.
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
