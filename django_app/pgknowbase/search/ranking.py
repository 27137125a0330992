"""A search as part of a queryset: it runs once, when the queryset is first evaluated on a database."""

import json
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock
from typing import Any

from django.contrib.postgres.fields import IntegerRangeField
from django.core.exceptions import EmptyResultSet
from django.db import models, transaction
from django.db.models.expressions import Expression

from pgknowbase.conf import get_settings
from pgknowbase.errors import SearchError
from pgknowbase.keys import key_text, object_key, parse_key
from pgknowbase.search.explanation import AnyStep, Explanation
from pgknowbase.search.hits import Filters, Hit, Page, Query, hits
from pgknowbase.search.pending import Pending, marked, merged

WIDEST = 20_000
PLACE = "place"


@dataclass(eq=False)
class Search:
    """``query`` among the rows of ``base``: at most ``limit`` after the first ``offset``.

    ``base`` holds everything that was chained before; ``key_column`` of a hit is the primary key that it has there.
    """

    base: "models.QuerySet[Any]"
    query: Query
    filters: Callable[[str], Filters]
    limit: int
    offset: int
    key_column: str
    narrowed: Callable[[Filters, list[str]], Filters]
    pending: Pending | None = None
    _found: dict[str, dict[str, Hit]] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Search":
        return self

    def key_of(self, hit: Hit) -> str:
        """The primary key, as text, of the row in ``base``."""
        return str(getattr(hit, self.key_column))

    def found(self, using: str) -> dict[str, Hit]:
        """The hits by primary key as text, best first; searched once for each database."""
        if using not in self._found:
            self.keep(using, self._search(using, None))
        return self._found[using]

    def keep(self, using: str, found: list[Hit]) -> None:
        """Remember what was found otherwise."""
        with self._lock:
            self._found.setdefault(using, {self.key_of(hit): hit for hit in found})

    def was_made(self, using: str) -> bool:
        """Whether it is known already what is found there."""
        return using in self._found

    def explained(self, using: str) -> Explanation:
        """Search anew, and say how."""
        steps: list[AnyStep] = []
        with transaction.atomic(using=using):
            found = self._search(using, steps)
        return Explanation(steps=tuple(steps), limit=self.limit, offset=self.offset, found=len(found))

    def _search(self, using: str, steps: list[AnyStep] | None) -> list[Hit]:
        filters = self.filters(using)
        if self.pending is None:
            return self._indexed(using, filters, steps, self.limit, self.offset)
        last = self.offset + self.limit
        waiting = self.pending.waiting(using, filters)
        indexed = marked(self._indexed(using, filters, steps, last, 0, waiting.gone), waiting, using)
        others = self._passing(self.base.using(using), [hit for hit in waiting.hits if self._has_key(hit)])
        return merged(indexed, others)[self.offset : last]

    def _has_key(self, hit: Hit) -> bool:
        return getattr(hit, self.key_column) is not None

    def _indexed(
        self,
        using: str,
        filters: Filters,
        steps: list[AnyStep] | None,
        limit: int,
        offset: int,
        without: Set[tuple[int, str]] = frozenset(),
    ) -> list[Hit]:
        """The hits that the index has; ``without`` these objects, where ``offset`` is 0."""
        rows, query = self.base.using(using), self.base.query
        if query.is_sliced or query.distinct_fields:
            return self._among(using, filters, _keys(rows), steps, limit, offset, without)
        rows = rows.order_by()
        if query.where:
            below = get_settings().search.exact_below
            keys = _keys(rows[: below + 1])
            if len(keys) <= below:
                return self._among(using, filters, keys, steps, limit, offset, without)
        wanted = last = offset + limit
        while wanted <= WIDEST:
            found = self._hits(using, Page(wanted), filters, steps)
            passing = self._passing(rows, _other_than(without, found))
            if len(passing) >= last or len(found) < wanted:
                return passing[offset:last]
            wanted *= 4
        return self._among(using, filters, _keys(rows), steps, limit, offset, without)

    def _among(
        self,
        using: str,
        filters: Filters,
        keys: list[str],
        steps: list[AnyStep] | None,
        limit: int,
        offset: int,
        without: Set[tuple[int, str]],
    ) -> list[Hit]:
        """The hits among the rows of these keys alone."""
        if not keys:
            return []
        found = self._hits(using, Page(limit + len(without), offset), self.narrowed(filters, keys), steps)
        return _other_than(without, found)[:limit]

    def _hits(self, using: str, page: Page, filters: Filters, steps: list[AnyStep] | None) -> list[Hit]:
        if steps is None:
            return hits(self.query, using, page, filters)
        found = hits(self.query, using, replace(page, note_plan=True), filters)
        steps.append(self.query.noted(using, asked=page.limit, found=len(found)))
        return found

    def _passing(self, rows: "models.QuerySet[Any]", found: list[Hit]) -> list[Hit]:
        if not found:
            return []
        if rows.query.is_sliced or rows.query.distinct_fields:
            alive = set(_keys(rows))
        else:
            pks = [parse_key(self.base.model, self.key_of(hit)) for hit in found]
            alive = set(_keys(rows.order_by().filter(pk__in=pks)))
        return [hit for hit in found if self.key_of(hit) in alive]


def _other_than(without: Set[tuple[int, str]], found: list[Hit]) -> list[Hit]:
    return [hit for hit in found if (hit.source, hit.object_key) not in without] if without else found


def _keys(rows: "models.QuerySet[Any]") -> list[str]:
    return [object_key(row[0]) for row in rows.values_list("pk")]


class HitValue(Expression):
    """One attribute of the row's hit, looked up by the row's primary key, as text, in a JSON object."""

    def __init__(self, search: Search, attribute: str, key: Any, output_field: Any) -> None:
        super().__init__(output_field=output_field)
        self.search = search
        self.attribute = attribute
        self.key = key

    def get_source_expressions(self) -> list[Any]:
        return [self.key]

    def set_source_expressions(self, exprs: Any) -> None:
        (self.key,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        found = self.search.found(connection.alias)
        if self.attribute == PLACE:
            values: dict[str, Any] = {key: place for place, key in enumerate(found)}
        else:
            values = {key: getattr(hit, self.attribute) for key, hit in found.items()}
        sql, params = compiler.compile(self.key)
        kind = self.output_field.db_type(connection)
        return f"(%s::jsonb ->> {sql})::{kind}", (json.dumps(values, ensure_ascii=False, default=_range), *params)


def _range(value: Any) -> str:
    return f"[{value.lower},{value.upper})"


class IsHit(Expression):
    """Whether the row is among the hits."""

    output_field = models.BooleanField()
    conditional = True
    allows_composite_expressions = True

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


def check_searchable(queryset: "models.QuerySet[Any]") -> None:
    """Refuse what no filter can be put on.

    Raises:
        SearchError: ``queryset`` is a union or the like.
    """
    if queryset.query.combinator:
        raise SearchError("A union, intersection or difference cannot be searched: combine filters with | and &.")


# What the rows of a search carry, from which attribute of their hit.
CARRIED: dict[str, tuple[str, Any]] = {
    "similarity": ("similarity", models.FloatField()),
    "keyword_score": ("keyword_score", models.FloatField()),
    "score": ("score", models.FloatField()),
    "matched_chunk": ("chunk", models.TextField()),
    "matched_span": ("span", IntegerRangeField()),
}


@lru_cache(maxsize=256)
def check_names(model: type[models.Model], *, pending: bool) -> None:
    """Refuse a model whose own fields have the names of what a search adds; ``pending``: with ``include_pending``.

    Raises:
        SearchError: names the fields.
    """
    taken = {name for field in model._meta.get_fields() for name in (field.name, getattr(field, "attname", field.name))}
    if taken := taken & {*CARRIED, *(["pending"] if pending else [])}:
        raise SearchError(
            f"{model._meta.label!r} has a field {sorted(taken)[0]!r}, which the rows of a search carry too: rename it."
        )


def ranked_query(rows: Any, search: Search) -> Any:
    """The query of ``rows`` with the hits of ``search`` alone, best first, and what the search knows of each."""
    rows.query.clear_limits()
    rows.query.distinct_fields = ()
    rows.query.standard_ordering = True
    rows.query.pgknowbase_search = search
    key = key_text(rows.model)
    carried = {name: HitValue(search, attribute, key, kind) for name, (attribute, kind) in CARRIED.items()}
    if search.pending is None:
        return rows.filter(IsHit(search)).annotate(**carried).order_by("-score", "pk").query
    carried["pending"] = HitValue(search, "pending", key, models.BooleanField())
    # Scores of rows that wait cannot be compared with others.
    place = HitValue(search, PLACE, key, models.IntegerField())
    return rows.filter(IsHit(search)).annotate(**carried).order_by(place.asc()).query


def explained(queryset: "models.QuerySet[Any]") -> Explanation:
    """How the search of ``queryset`` was made.

    Raises:
        SearchError: there is none.
    """
    search: Search | None = getattr(queryset.query, "pgknowbase_search", None)
    if search is None:
        raise SearchError(f"A queryset of {queryset.model._meta.label!r} has no search to explain: search it first.")
    return search.explained(queryset.db)


def by_object_key(filters: Filters, keys: list[str]) -> Filters:
    """Only the objects of these keys."""
    return replace(filters, object_keys=keys)


def by_external_data_id(filters: Filters, keys: list[str]) -> Filters:
    """Only these external data."""
    return replace(filters, external_data_ids=[int(key) for key in keys])
