"""Which objects a search for similar ones starts from."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models

from pgknowbase.core.keys import object_key
from pgknowbase.core.text import short_repr
from pgknowbase.errors import SearchError
from pgknowbase.search.queries import SimilarQuery
from pgknowbase.search.visibility import Viewer, visible_data
from pgknowbase.sources.registry import Source, is_source, source_of

MAX_ROWS = 100


def rows_to_compare(given: "models.Model | Iterable[models.Model]") -> list[models.Model]:
    """The source rows of a search by one row, or by several.

    Raises:
        SearchError: one is not a row of a source model, or they are none or too many.
    """
    if isinstance(given, models.Model):
        given = [given]
    if not isinstance(given, Iterable):
        raise SearchError(f"{short_repr(given)} is not a row of a source model: pass one, or a list of some.")
    rows = list(given)
    if not rows or len(rows) > MAX_ROWS:
        raise SearchError(f"{len(rows)} rows cannot be compared with: pass from 1 to {MAX_ROWS}.")
    for row in rows:
        if not is_source(type(row)):
            raise SearchError(f"{short_repr(row)} is not a row of a source model: add ExternalDataMixin to its model.")
    return rows


def similar_query(rows: list[models.Model], using: str) -> SimilarQuery:
    """The search by these rows, in a database."""
    return SimilarQuery(
        tuple((source_of(type(row)).content_type_id(using), object_key(type(row), row.pk)) for row in rows)
    )


def visible_part(query: SimilarQuery, sources: Iterable[Source], visible_to: Viewer, using: str) -> SimilarQuery:
    """``query`` without the objects that this user may not see, where a model has a rule that SQL does not know."""
    known: Any = apps.get_model("pgknowbase", "ExternalData")._default_manager.using(using)
    is_given = models.Q()
    for source, key in query.objects:
        is_given |= models.Q(content_type_id=source, object_key=key)
    seen = visible_data(known.filter(is_given), list(sources), visible_to)
    return SimilarQuery(tuple(seen.values_list("content_type_id", "object_key")))
