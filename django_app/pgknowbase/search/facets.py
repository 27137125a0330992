"""Facets: how many objects there are of each tag, model, value of a metadata key or period."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import models
from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from pgknowbase.core import gateway
from pgknowbase.core.text import is_storable, short_repr
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import SearchError
from pgknowbase.replicas.freshness import State
from pgknowbase.search.filters import Filters
from pgknowbase.search.queries import translated_errors
from pgknowbase.search.servers_down import answer
from pgknowbase.sources.registry import Source

MAX_FACETS = 10
MAX_FACET_CHARACTERS = 200
MAX_VALUES = 100
# Objects that one call counts, and documents with a word of its text that it looks at.
MAX_COUNTED = 100_000
_NAME = re.compile(r"tags|model|metadata\..+|(?:updated|created):(?:day|month|year)", re.DOTALL)


class FacetValue(BaseModel):
    """One value of a facet, and how many objects have it."""

    model_config = ConfigDict(frozen=True)

    value: bool | int | float | str
    count: int


class Facet(BaseModel):
    """The values that most objects have, or the latest periods in their order. ``distinct``: how many there are."""

    model_config = ConfigDict(frozen=True)

    values: list[FacetValue]
    distinct: int


class Facets(BaseModel):
    """Counts by facet.

    ``documents``: how many objects were counted. ``is_complete``: false where there may be more, because the bound on
    what one call counts was reached, or a server of the cluster does not answer. ``freshness``: as that of a search
    page.
    """

    model_config = ConfigDict(frozen=True)

    documents: int
    is_complete: bool
    facets: dict[str, Facet]
    freshness: State | None = None


@dataclass(frozen=True)
class FacetSpec:
    """What to count.

    Args:
        names: ``tags``, ``model``, ``metadata.KEY``, ``updated:PERIOD``, ``created:PERIOD`` or
            ``metadata.KEY:PERIOD``, where a period is ``day``, ``month`` or ``year``.
        text: a search text, or None for all objects that pass the filters.
        values: how many values of each, those that most objects have, or the latest periods.

    Raises:
        SearchError: there is no such facet, there are too many, or ``values`` is out of range.
    """

    names: Sequence[str]
    text: str | None
    values: int

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not isinstance(self.names, Sequence) or not self.names:
            raise SearchError("No facets are named: pass some, such as 'tags', 'metadata.year' or 'updated:month'.")
        if len(self.names) > MAX_FACETS:
            raise SearchError(f"{len(self.names)} facets are too many for one call: pass at most {MAX_FACETS}.")
        for name in self.names:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or not is_storable(name):
                raise SearchError(
                    f"There is no facet {short_repr(name)}: pass 'tags', 'model', 'metadata.KEY', 'updated:month',"
                    " 'created:month' or 'metadata.KEY:month', with day, month or year."
                )
            if len(name) > MAX_FACET_CHARACTERS:
                raise SearchError(f"The facet {name[:40]!r}... is longer than {MAX_FACET_CHARACTERS} characters.")
        if not isinstance(self.values, int) or isinstance(self.values, bool) or not 1 <= self.values <= MAX_VALUES:
            raise SearchError(
                f"values {short_repr(self.values)} is out of range: pass a whole number from 1 to {MAX_VALUES}."
            )


def count_facets(
    using: str, request: FacetSpec, filters: Filters, sources: Sequence[Source], among: "models.QuerySet[Any] | None"
) -> Facets:
    """Count in one statement.

    Args:
        sources: the source models of ``filters``, whose labels the facet ``model`` has.
        among: rows of ``ExternalData``; only these are counted, the newest ones where they are too many. None: all.
    """
    params: dict[str, Any] = {
        "facets": list(request.names),
        "text": request.text,
        "filter": filters.json(),
        "most_values": request.values,
        "most_objects": MAX_COUNTED,
        "zone": timezone.get_default_timezone_name(),
    }

    def count() -> Any:
        with translated_errors(using):
            if among is None:
                return gateway.fetch_value(using, "facets", **params)
            rows = among.order_by("-pk").values("pk")[:MAX_COUNTED]
            return gateway.fetch_among(using, "facets_among", rows=rows, **params)

    try:
        with time_limit(using):
            found, missing = answer(using, count)
    except EmptyResultSet:  # Django knows without a statement that no row passes
        nothing = Facet(values=[], distinct=0)
        return Facets(documents=0, is_complete=True, facets=dict.fromkeys(request.names, nothing))
    counted = json.loads(found) if isinstance(found, str) else found
    labels = {source.label.lower(): source.label for source in sources}
    return Facets(
        documents=counted["documents"],
        is_complete=counted["is_complete"] and not missing,
        facets={name: _facet(counted["facets"][name], labels if name == "model" else {}) for name in request.names},
    )


def _facet(counted: Any, labels: dict[str, str]) -> Facet:
    return Facet(
        values=[FacetValue(value=labels.get(value, value), count=count) for value, count in counted["values"]],
        distinct=counted["distinct"],
    )
