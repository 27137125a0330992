"""A search as part of a queryset: it runs once, when the queryset is first compiled for a database."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, TypeVar

from django.contrib.postgres.fields import IntegerRangeField
from django.core.exceptions import EmptyResultSet
from django.db import models, transaction
from django.db.models.expressions import Expression
from django.db.models.functions import Cast

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import SearchError
from pgknowbase.keys import key_text, object_key, parse_key
from pgknowbase.search.explanation import Explanation, Step
from pgknowbase.search.hits import Filters, Hit, Page, Query

WIDEST = 20_000


@dataclass(eq=False)
class Search:
    """``query`` among the rows of ``base``: at most ``limit`` after the first ``offset``.

    ``base`` holds everything that was chained before; ``key_of`` gives the primary key, as text, that a hit has in it.
    """

    base: "models.QuerySet[Any]"
    query: Query
    filters: Callable[[str], Filters]
    limit: int
    offset: int
    key_of: Callable[[Hit], str]
    narrowed: Callable[[Filters, list[str]], Filters]
    _found: dict[str, dict[str, Hit]] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Search":
        return self

    def found(self, using: str) -> dict[str, Hit]:
        """The hits by primary key as text, best first; searched once for each database."""
        if using not in self._found:
            hits = self._search(using, None)
            with self._lock:
                self._found.setdefault(using, {self.key_of(hit): hit for hit in hits})
        return self._found[using]

    def explained(self, using: str) -> Explanation:
        """Search anew, and say how."""
        steps: list[Step] = []
        with transaction.atomic(using=using):
            found = self._search(using, steps)
        return Explanation(steps=tuple(steps), limit=self.limit, offset=self.offset, found=len(found))

    def _search(self, using: str, steps: list[Step] | None) -> list[Hit]:
        filters = self.filters(using)
        rows, query = self.base.using(using), self.base.query
        if query.is_sliced or query.distinct_fields:
            return self._among(using, filters, _keys(rows), steps)
        rows = rows.order_by()
        if query.where:
            below = get_settings().search.exact_below
            keys = _keys(rows[: below + 1])
            if len(keys) <= below:
                return self._among(using, filters, keys, steps)
        last = self.offset + self.limit
        wanted = last
        while wanted <= WIDEST:
            hits = self._hits(using, Page(wanted), filters, steps)
            passing = self._passing(rows, hits)
            if len(passing) >= last or len(hits) < wanted:
                return passing[self.offset : last]
            wanted *= 4
        return self._among(using, filters, _keys(rows), steps)

    def _among(self, using: str, filters: Filters, keys: list[str], steps: list[Step] | None) -> list[Hit]:
        """The hits among the rows of these keys alone."""
        if not keys:
            return []
        return self._hits(using, Page(self.limit, self.offset), self.narrowed(filters, keys), steps)

    def _hits(self, using: str, page: Page, filters: Filters, steps: list[Step] | None) -> list[Hit]:
        if steps is None:
            return self.query.hits(using, page, filters)
        hits = self.query.hits(using, replace(page, note_plan=True), filters)
        noted = gateway.fetch_value(using, gateway.SEARCH_PLAN)
        steps.append(Step.of(noted, asked=page.limit, found=len(hits)))
        return hits

    def _passing(self, rows: "models.QuerySet[Any]", hits: list[Hit]) -> list[Hit]:
        pks = [parse_key(self.base.model, self.key_of(hit)) for hit in hits]
        alive = set(_keys(rows.filter(pk__in=pks))) if pks else set()
        return [hit for hit in hits if self.key_of(hit) in alive]


def _keys(rows: "models.QuerySet[Any]") -> list[str]:
    return [object_key(row[0]) for row in rows.values_list("pk")]


class HitValues(Expression):
    """A JSON object from primary key, as text, to one attribute of the hit."""

    output_field = models.JSONField()

    def __init__(self, search: Search, attribute: str) -> None:
        super().__init__()
        self.search = search
        self.attribute = attribute

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        found = self.search.found(connection.alias)
        values = {key: getattr(hit, self.attribute) for key, hit in found.items()}
        return "%s::jsonb", (json.dumps(values, ensure_ascii=False, default=_range),)


def _range(value: Any) -> str:
    return f"[{value.lower},{value.upper})"


class IsHit(Expression):
    """Whether the row is among the hits."""

    output_field = models.BooleanField()
    conditional = True

    def __init__(self, search: Search, pk: Any = None) -> None:
        super().__init__()
        self.search = search
        self.pk: Any = pk or models.F("pk")

    def get_source_expressions(self) -> list[Any]:
        return [self.pk]

    def set_source_expressions(self, exprs: Any) -> None:
        (self.pk,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        model = self.search.base.model
        pks = [parse_key(model, key) for key in self.search.found(connection.alias)]
        if not pks:
            raise EmptyResultSet
        sql, params = compiler.compile(self.pk.get_lookup("in")(self.pk, pks))
        return sql, tuple(params)


Rows = TypeVar("Rows", bound="models.QuerySet[Any]")


def check_searchable(queryset: "models.QuerySet[Any]") -> None:
    """Refuse what no filter can be put on.

    Raises:
        SearchError: ``queryset`` is a union or the like.
    """
    if queryset.query.combinator:
        raise SearchError("A union, intersection or difference cannot be searched: combine filters with | and &.")


def ranked(queryset: Rows, search: Search) -> Rows:
    """``queryset`` with the hits of ``search`` alone, best first, with what the search knows of each."""
    rows: Any = queryset._chain()  # type: ignore[attr-defined]
    rows.query.clear_limits()
    rows.query.distinct_fields = ()
    rows.query.standard_ordering = True
    rows.query.pgknowbase_search = search
    key = key_text(queryset.model)

    def looked_up(attribute: str, kind: Any) -> Any:
        text = models.Func(
            HitValues(search, attribute), key, function="jsonb_extract_path_text", output_field=models.TextField()
        )
        return text if isinstance(kind, models.TextField) else Cast(text, kind)

    rows = rows.filter(IsHit(search)).annotate(
        similarity=looked_up("similarity", models.FloatField()),
        keyword_score=looked_up("keyword_score", models.FloatField()),
        score=looked_up("score", models.FloatField()),
        matched_chunk=looked_up("chunk", models.TextField()),
        matched_span=looked_up("span", IntegerRangeField()),
    )
    ordered: Rows = rows.order_by("-score", "pk")
    return ordered


def explained(queryset: "models.QuerySet[Any]") -> Explanation:
    """How the search of ``queryset`` was made.

    Raises:
        SearchError: there is none.
    """
    search: Search | None = getattr(queryset.query, "pgknowbase_search", None)
    if search is None:
        raise SearchError(f"A queryset of {queryset.model._meta.label!r} has no search to explain: search it first.")
    if not search.query.notes_plan:
        raise SearchError(f"{type(search.query).__name__!r} notes no plan: explain a search by meaning.")
    return search.explained(queryset.db)


def by_object_key(filters: Filters, keys: list[str]) -> Filters:
    """Only the objects of these keys."""
    return replace(filters, object_keys=keys)


def by_external_data_id(filters: Filters, keys: list[str]) -> Filters:
    """Only these external data."""
    return replace(filters, external_data_ids=[int(key) for key in keys])
