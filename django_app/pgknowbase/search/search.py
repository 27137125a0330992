"""A search as part of a queryset. It runs once per database, when the queryset is first evaluated there."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any

from django.contrib.postgres.fields import IntegerRangeField
from django.core.exceptions import EmptyResultSet
from django.db import connections, models, transaction
from django.db.models.expressions import Expression, OrderBy

from pgknowbase.conf import IfServerDown, get_settings
from pgknowbase.core.keys import key_text, object_key, parse_key
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import SearchError
from pgknowbase.replicas.freshness import Freshness
from pgknowbase.replicas.reading import Reading
from pgknowbase.replicas.servers import chosen_by_routers
from pgknowbase.rerank.stage import Outcome
from pgknowbase.search.filters import Filters
from pgknowbase.search.measured import measured
from pgknowbase.search.nothing_found import NothingFound, nothing_found
from pgknowbase.search.paging import Paging
from pgknowbase.search.pending import ObjectId, PendingSearch, interleave, mark_pending
from pgknowbase.search.plan import Explanation, SearchStep
from pgknowbase.search.queries import Hit, Page, Query, TextQuery, hits, with_snippets
from pgknowbase.search.reranking import SecondStage, candidates, explained, reranked
from pgknowbase.search.servers_down import Answer, answer
from pgknowbase.search.typos import Correction, TypoTolerance

logger = logging.getLogger("pgknowbase.search")

# Hits that one statement asks the index for while it looks for rows of the queryset. Where so many do not suffice, the
# keys of all rows of the queryset are read, and the search is restricted to them.
MAX_INDEX_HITS = 20_000
# The next statement asks for so many times the hits: a few statements reach the limit, and the last one dominates.
GROWTH = 4
RANK = "rank"


@dataclass(eq=False)
class Search:
    """A query, the rows among which it searches, and the hits that were found, one result for each database.

    Args:
        base: the queryset before the search, with every filter and slice that was chained to it.
        query: what is searched for.
        filters: gives the filter for a database, because the ids of content types differ between databases.
        limit: hits at most.
        offset: how many of the best hits to leave out.
        key_column: the attribute of ``Hit`` that is the primary key of a row in ``base``.
        restrict_to_keys: adds to a filter the condition that an object has one of these keys.
        pending: where to look for objects that are not indexed yet; None for a search of the index alone.
        paging: the order of the hits, and which of them earlier pages have shown.
        snippet_length: characters of the snippet that each hit gets; None: hits have none.
        typos: how typos of the text are corrected; None: they are not.
        freshness: what the server that it runs on must have; None: anything.
        second_stage: what may put its best hits into a new order; None: nothing.
        if_server_down: what is done where a server of the cluster does not answer; None: as the settings say.
    """

    base: "models.QuerySet[Any]"
    query: Query
    filters: Callable[[str], Filters]
    limit: int
    offset: int
    key_column: str
    restrict_to_keys: Callable[[Filters, list[str]], Filters]
    paging: Paging
    pending: PendingSearch | None = None
    snippet_length: int | None = None
    typos: TypoTolerance | None = None
    freshness: Freshness | None = None
    second_stage: SecondStage | None = None
    if_server_down: IfServerDown | None = None
    _readings: dict[str | None, Reading] = field(default_factory=dict)
    _corrections: dict[str, Correction] = field(default_factory=dict)
    _results: dict[str, dict[str, Hit]] = field(default_factory=dict)
    _rerankers: dict[str, str | None] = field(default_factory=dict)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _missing: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lock: Any = field(default_factory=Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Search":
        # Django copies the expressions of a query with each chained call. The copies share one search and its results.
        return self

    def reading(self, chosen: str | None, hints: dict[str, Any]) -> Reading:
        """Where the search runs: on the database that the caller has ``chosen``, else where the routers send it."""
        with self._lock:
            if chosen not in self._readings:
                first = chosen or chosen_by_routers(self.base.model, **hints)
                database = get_settings().database
                self._readings[chosen] = Reading(database, first, self.freshness, alone=chosen is not None)
            return self._readings[chosen]

    def key_of(self, hit: Hit) -> str:
        """The primary key, as text, that the row of a hit has in ``base``."""
        return str(getattr(hit, self.key_column))

    def results(self, using: str) -> dict[str, Hit]:
        """The hits by primary key as text, best first. The first call for a database runs the search."""
        if using not in self._results:
            with measured(self.query, connections[using].settings_dict["NAME"], self.limit) as told:
                with time_limit(using):
                    found = self.answer(using, partial(self._first_stage, using, told.steps))
                if (name := self.reranker(using)) is not None:
                    found = self._second(using, name, found)
                with time_limit(using):
                    found = self.answer(using, partial(self.with_snippets, using, found))
                    self.store_results(using, found)
                told.hits, told.is_partial = len(found), bool(self.missing(using))
        return self._results[using]

    def answer(self, using: str, call: Callable[[], Answer]) -> Answer:
        """What ``call``, which reads alone, returns; where ``if_server_down`` says so, also without some servers."""
        found, missing = answer(using, call, self.if_server_down)
        with self._lock:
            self._missing[using].update(missing)
        return found

    def missing(self, using: str) -> tuple[str, ...]:
        """The servers of the cluster that its results on this database are without, as host:port."""
        return tuple(sorted(self._missing[using]))

    def store_results(self, using: str, found: list[Hit]) -> None:
        """Keep the hits of a database, unless another thread has stored some: all threads must see the same ones."""
        if not found and not self.offset and logger.isEnabledFor(logging.INFO):
            logger.info("a search for %d objects: %s", self.limit, self._why_nothing(using))
        with self._lock:
            self._results.setdefault(using, {self.key_of(hit): hit for hit in found})

    def correction(self, using: str) -> Correction:
        """What the text was taken for, on this database."""
        if self.typos is None or not isinstance(self.query, TextQuery):
            return Correction()
        if using not in self._corrections:
            found = self.typos.correct(using, self.query.text, self.filters(using))
            with self._lock:
                self._corrections.setdefault(using, found)
        return self._corrections[using]

    def reranker(self, using: str) -> str | None:
        """The entry of ``RERANKERS`` that puts the best hits into a new order, on this database."""
        if self.second_stage is None or not isinstance(self.query, TextQuery):
            return None
        if using not in self._rerankers:
            chosen = self.second_stage.chosen(using, self.query.text)
            with self._lock:
                self._rerankers.setdefault(using, chosen)
        return self._rerankers[using]

    def outcome(self, using: str) -> Outcome | None:
        """What became of the second stage, on this database; None where there is none."""
        return self._outcomes.get(using)

    def _second(self, using: str, name: str, best: list[Hit]) -> list[Hit]:
        """The page of the hits after the second stage ``name``, which no transaction of ours waits for."""
        query = self.query_on(using)
        if not isinstance(query, TextQuery):
            return best
        found, outcome = reranked(using, name, query.text, best)
        with self._lock:
            self._outcomes[using] = outcome
        return self.paging.page(using, found, self.limit, self.offset)

    def query_on(self, using: str) -> Query:
        """The query that runs on this database: of a text with typos, what it was taken for."""
        corrected = self.correction(using).corrected
        if corrected is None or not isinstance(self.query, TextQuery):
            return self.query
        return replace(self.query, text=corrected)

    def with_snippets(self, using: str, found: list[Hit]) -> list[Hit]:
        """The hits with snippets, if the search gives any."""
        query = self.query_on(using)
        if self.snippet_length is None or not isinstance(query, TextQuery):
            return found
        return with_snippets(using, query, found, self.snippet_length)

    @property
    def attributes(self) -> dict[str, tuple[str, Any]]:
        """The attributes that the rows of this search have: as ``HIT_ATTRIBUTES``, and those that it was asked for."""
        return {
            **HIT_ATTRIBUTES,
            **({"pending": ("pending", models.BooleanField())} if self.pending is not None else {}),
            **(SNIPPET_ATTRIBUTES if self.snippet_length is not None else {}),
            **(RERANK_ATTRIBUTES if self.second_stage is not None else {}),
        }

    def has_results(self, using: str) -> bool:
        """Whether the search has run on this database."""
        return using in self._results

    def explain(self, using: str) -> Explanation:
        """Run the search anew, whatever is stored, and return how it ran."""
        steps: list[SearchStep] = []

        def explained_stage() -> tuple[list[Hit], NothingFound | None]:
            found = self._first_stage(using, steps)
            return found, None if found or self.offset else self._why_nothing(using)

        with time_limit(using):
            found, nothing = self.answer(using, explained_stage)
        second = None
        if (name := self.reranker(using)) is not None:
            found = self._second(using, name, found)
            second = explained(self._outcomes[using], candidates(name), found)
        return Explanation(tuple(steps), self.limit, self.offset, len(found), nothing, second, self.missing(using))

    def _why_nothing(self, using: str) -> NothingFound:
        filters = self.filters(using)
        best = self._search_index(using, replace(filters, threshold=-1.0), None, 1, 0)
        return nothing_found(using, filters, best=best[0].score if best else None)

    def _first_stage(self, using: str, steps: list[SearchStep] | None) -> list[Hit]:
        """As ``_run``, which may be run a second time, without some servers."""
        if steps is None:
            return self._run(using, None)
        steps.clear()
        # The SQL functions record their plan in settings that last until the transaction ends.
        with transaction.atomic(using=using):
            return self._run(using, steps)

    def _run(self, using: str, steps: list[SearchStep] | None) -> list[Hit]:
        """Search; ``steps``, if given, collects the plan of each statement. A second stage gets more than the page."""
        filters = self.filters(using)
        if (name := self.reranker(using)) is not None:
            needed = max(candidates(name), self.paging.needed(self.limit, self.offset))
            return self._search_index(using, filters, steps, needed, 0)
        if not self.paging.is_plain:
            best = self._search_index(using, filters, steps, self.paging.needed(self.limit, self.offset), 0)
            return self.paging.page(using, best, self.limit, self.offset)
        if self.pending is None:
            return self._search_index(using, filters, steps, self.limit, self.offset)
        # The place of a hit depends on all hits before it in both lists, so both are read from their start.
        last = self.offset + self.limit
        searched = replace(self.pending, text=self.correction(using).corrected or self.pending.text)
        pending = searched.find(using, filters)
        indexed = self._search_index(using, filters, steps, last, 0, pending.removed)
        # A search across models returns rows of ExternalData, which an object that was never indexed does not have.
        with_row = [hit for hit in pending.hits if getattr(hit, self.key_column) is not None]
        others = self._keep_rows(self.base.using(using), with_row)
        return interleave(mark_pending(indexed, pending, using), others)[self.offset : last]

    def _search_index(
        self,
        using: str,
        filters: Filters,
        steps: list[SearchStep] | None,
        limit: int,
        offset: int,
        excluded: Set[ObjectId] = frozenset(),
    ) -> list[Hit]:
        """The best hits of the index whose rows belong to ``base``.

        Args:
            excluded: objects to leave out; only with an ``offset`` of 0.
        """
        rows, query = self.base.using(using), self.base.query
        if query.is_sliced or query.distinct_fields:
            # Django cannot filter a slice, and with a filter DISTINCT ON would choose other rows.
            return self._search_keys(using, filters, _keys(rows), steps, limit, offset, excluded)
        rows = rows.order_by()
        if query.where:
            # A filter that few rows pass: their keys go into the search, which then compares exactly these rows. One
            # key more than the maximum shows that there are too many, without counting them.
            most = get_settings().search.exact_search_max_chunks
            keys = _keys(rows[: most + 1])
            if len(keys) <= most:
                return self._search_keys(using, filters, keys, steps, limit, offset, excluded)
        # A filter that many rows pass, or no filter: most hits are rows of the queryset. The hits are read first, those
        # whose rows do not pass are dropped, and where too few remain, more hits are read.
        requested = last = offset + limit
        while requested <= MAX_INDEX_HITS:
            found = self._fetch_hits(using, Page(requested), filters, steps)
            remaining = self._keep_rows(rows, _exclude(excluded, found))
            if len(remaining) >= last or len(found) < requested:
                return remaining[offset:last]
            requested *= GROWTH
        return self._search_keys(using, filters, _keys(rows), steps, limit, offset, excluded)

    def _search_keys(
        self,
        using: str,
        filters: Filters,
        keys: list[str],
        steps: list[SearchStep] | None,
        limit: int,
        offset: int,
        excluded: Set[ObjectId],
    ) -> list[Hit]:
        """The best hits among the rows with these keys."""
        if not keys:
            return []
        page = Page(limit + len(excluded), offset)
        found = self._fetch_hits(using, page, self.restrict_to_keys(filters, keys), steps)
        return _exclude(excluded, found)[:limit]

    def _fetch_hits(self, using: str, page: Page, filters: Filters, steps: list[SearchStep] | None) -> list[Hit]:
        query = self.query_on(using)
        if steps is None:
            return hits(query, using, page, filters)
        found = hits(query, using, replace(page, record_plan=True), filters)
        steps.append(query.step(using, requested=page.limit, found=len(found)))
        return found

    def _keep_rows(self, rows: "models.QuerySet[Any]", found: list[Hit]) -> list[Hit]:
        """The hits whose row is among ``rows``, in the same order. A hit whose row was just deleted is dropped too."""
        if not found:
            return []
        if rows.query.is_sliced or rows.query.distinct_fields:
            present = set(_keys(rows))
        else:
            pks = [parse_key(self.base.model, self.key_of(hit)) for hit in found]
            present = set(_keys(rows.order_by().filter(pk__in=pks)))
        return [hit for hit in found if self.key_of(hit) in present]


def _exclude(excluded: Set[ObjectId], found: list[Hit]) -> list[Hit]:
    return [hit for hit in found if (hit.source, hit.object_key) not in excluded] if excluded else found


def _keys(rows: "models.QuerySet[Any]") -> list[str]:
    return [object_key(rows.model, row[0]) for row in rows.values_list("pk")]


class HitValue(Expression):
    """One attribute of the hit of a row: a JSON object from keys to values, indexed by the row's primary key as text.

    The values travel in one parameter, so the text of the statement does not depend on the number of hits, and the
    attribute can be filtered and ordered by like any annotation.
    """

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
        """The SQL of the expression. Compiling it for a database is what first runs the search there."""
        found = self.search.results(connection.alias)
        if self.attribute == RANK:
            values: dict[str, Any] = {key: rank for rank, key in enumerate(found)}
        else:
            values = {key: getattr(hit, self.attribute) for key, hit in found.items()}
        sql, params = compiler.compile(self.key)
        db_type = self.output_field.db_type(connection)
        return f"(%s::jsonb ->> {sql})::{db_type}", (json.dumps(values, ensure_ascii=False, default=_range), *params)


def _range(value: Any) -> str:
    return f"[{value.lower},{value.upper})"


class IsHit(Expression):
    """The condition that the row is among the hits of a search."""

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
        """The SQL of the condition.

        Raises:
            EmptyResultSet: there are no hits. Django then returns no rows without a statement.
        """
        model = self.search.base.model
        pks = [parse_key(model, key) for key in self.search.results(connection.alias)]
        if not pks:
            raise EmptyResultSet
        sql, params = compiler.compile(self.pk.get_lookup("in")(self.pk, pks))
        return sql, tuple(params)


def check_searchable(queryset: "models.QuerySet[Any]") -> None:
    """Refuse a queryset that Django cannot filter.

    Raises:
        SearchError: ``queryset`` is a union, an intersection or a difference.
    """
    if queryset.query.combinator:
        raise SearchError("A union, intersection or difference cannot be searched: combine filters with | and &.")


# The attributes that the rows of a search have: from their name to the attribute of the hit, and its field.
HIT_ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "similarity": ("similarity", models.FloatField()),
    "keyword_score": ("keyword_score", models.FloatField()),
    "score": ("score", models.FloatField()),
    "matched_chunk": ("chunk", models.TextField()),
    "matched_span": ("span", IntegerRangeField()),
}
SNIPPET_ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "highlighted_title": ("highlighted_title", models.TextField()),
    "snippet": ("snippet", models.TextField()),
}
RERANK_ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "rerank_score": ("rerank_score", models.FloatField()),
    "first_rank": ("first_rank", models.IntegerField()),
}


@lru_cache(maxsize=256)
def check_field_names(model: type[models.Model], attributes: frozenset[str]) -> None:
    """Refuse a model with a field whose name the rows of a search need for an attribute of their hit.

    Args:
        attributes: the names of the attributes.

    Raises:
        SearchError: there is such a field; the message names it.
    """
    taken = {name for field in model._meta.get_fields() for name in (field.name, getattr(field, "attname", field.name))}
    if taken := taken & attributes:
        raise SearchError(
            f"{model._meta.label!r} has a field {sorted(taken)[0]!r}, and so have the rows of a search: rename it."
        )


def ranked_query(rows: Any, search: Search) -> Any:
    """The query of ``rows``, a queryset, restricted to the hits of ``search``, with their attributes, best first."""
    # The slice and DISTINCT ON of the queryset before the search are part of the search already.
    rows.query.clear_limits()
    rows.query.distinct_fields = ()
    rows.query.standard_ordering = True
    # Django copies the attributes of a query when a queryset is chained, so explain_search() finds the search there.
    rows.query.pgknowbase_search = search
    key = key_text(rows.model)
    attributes = {name: HitValue(search, attribute, key, kind) for name, (attribute, kind) in search.attributes.items()}
    return rows.filter(IsHit(search)).annotate(**attributes).order_by(relevance(rows.model, search)).query


def relevance(model: type[models.Model], search: Search) -> OrderBy:
    """The order of the hits of ``search``, best first, as an argument of ``order_by``.

    It is that of the list of hits, which the SQL functions cut into pages, so that rows of the same score keep their
    places from page to page. Pending rows have no score that can be compared.
    """
    return HitValue(search, RANK, key_text(model), models.IntegerField()).asc()


def search_of(queryset: "models.QuerySet[Any]") -> Search:
    """The search that ``queryset`` is the result of.

    Raises:
        SearchError: there is none.
    """
    search: Search | None = getattr(queryset.query, "pgknowbase_search", None)
    if search is None:
        raise SearchError(
            f"A queryset of {queryset.model._meta.label!r} is not the result of a search: search it first."
        )
    return search


def explain_search(queryset: "models.QuerySet[Any]") -> Explanation:
    """Run the search of ``queryset`` anew, and return how it ran.

    Raises:
        SearchError: ``queryset`` is not the result of a search.
    """
    return search_of(queryset).explain(queryset.db)


def restrict_to_object_keys(filters: Filters, keys: list[str]) -> Filters:
    """``filters``, and that the object key is one of ``keys``."""
    return replace(filters, object_keys=keys)


def restrict_to_external_data(filters: Filters, keys: list[str]) -> Filters:
    """``filters``, and that the id of the external data, given as text, is one of ``keys``."""
    return replace(filters, external_data_ids=[int(key) for key in keys])
