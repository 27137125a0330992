"""The queryset that a search returns, and the one statement that fetches its rows together with their hits.

A search over all rows of a model needs no filter of Django's: the statement that searches joins the rows to the hits.
Any other queryset uses ``search.ranked_query``, with separate statements for the hits and for the rows.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import connections, models, transaction
from django.db.models.expressions import Expression
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.replicas.freshness import Freshness, State
from pgknowbase.replicas.reading import Reading
from pgknowbase.replicas.servers import chosen_by_routers
from pgknowbase.rerank.stage import Outcome
from pgknowbase.search.facets import Facets
from pgknowbase.search.measured import measured
from pgknowbase.search.queries import Hit, Page
from pgknowbase.search.search import Search, check_field_names, ranked_query, search_of

Row = TypeVar("Row", bound=models.Model, covariant=True)
HIT_COLUMNS = Hit.__slots__.index("pending")  # the fields before it are the columns of the SQL functions
# Primary keys whose text is the same in Python and in Postgres, with the cast that makes a key of an object key.
CASTS = {
    **dict.fromkeys(("CharField", "SlugField", "TextField"), ""),
    **dict.fromkeys(("AutoField", "BigAutoField", "SmallAutoField"), "::bigint"),
    **dict.fromkeys(("IntegerField", "BigIntegerField", "SmallIntegerField"), "::bigint"),
    **dict.fromkeys(("PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField"), "::bigint"),
    "UUIDField": "::uuid",
}
# Attributes of a query that may differ from those of a fresh one, because a search orders its rows itself.
ORDERING = {"order_by", "standard_ordering", "default_ordering", "filter_is_sticky"}


class SearchedQuerySet(models.QuerySet[Row]):
    """A queryset that may be the result of a search.

    It keeps the search apart from its query as long as it can, because the statement that searches can fetch the rows
    as well. As soon as something is chained to it or reads its query, the search becomes a condition of the query.
    """

    _search: Search | None = None

    def _with_search(self, search: Search) -> Self:
        """A copy of this queryset that is the result of ``search``."""
        check_field_names(self.model, frozenset(search.attributes))
        rows: Any = self._chain()  # type: ignore[attr-defined]
        rows._search = search
        return rows  # type: ignore[no-any-return]

    if not TYPE_CHECKING:

        @property
        def query(self) -> Query:
            # Every method of QuerySet that chains or compiles reads this property.
            search, self._search = self._search, None
            if search is not None:
                self._query = ranked_query(self._chain(), search)
            return super().query

        @query.setter
        def query(self, value: Query) -> None:
            models.QuerySet.query.fset(self, value)

        @property
        def db(self) -> str:
            # A search stays on the server on which it began, whatever is chained to it.
            reading = self._reading()
            return super().db if reading is None or self._for_write else reading.alias

    def _reading(self) -> Reading | None:
        """Where the search of this queryset runs."""
        rows: Any = self
        search = self._search or getattr(rows._query, "pgknowbase_search", None)
        return None if search is None else search.reading(rows._db, rows._hints)

    def _run(self, freshness: Freshness | None, call: Callable[[str], Facets]) -> Facets:
        """What ``call`` counts on the server that a search of these rows would run on."""
        rows: Any = self
        first = rows._db or chosen_by_routers(self.model, **rows._hints)
        reading = Reading(get_settings().database, first, freshness, alone=rows._db is not None)
        return reading.run(call).model_copy(update={"freshness": reading.state})

    @property
    def freshness(self) -> State | None:
        """What the result of a search with ``fresh`` is; None without it.

        ``fresh``: it has what the token stands for. ``pending``: it may not have it yet. ``promoted``: another server
        is the primary since; what survived of that write is in the result, and whether all of it did is not known.

        >>> Note.objects.keyword_search("gears", fresh=token, if_stale="pending").freshness
        'pending'

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        self._fetch_all()
        search_of(self)
        reading = self._reading()
        return None if reading is None else reading.state

    @property
    def is_partial(self) -> bool:
        """With ``if_server_down="partial"``: whether what is on some server of the cluster is missing.

        >>> Note.objects.semantic_search("gears", if_server_down="partial").is_partial
        False

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        search = self._searched()
        return bool(search.missing(self.db))

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page of this search; None on the last one, or more than 1,000 rows deep.

        >>> page = Note.objects.keyword_search("gears", limit=20)
        >>> following = Note.objects.keyword_search("gears", limit=20, cursor=page.next_cursor)

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        search = self._searched()
        found = search.results(self.db)
        return self.cursor_after(hit.external_data_id for hit in found.values()) if len(found) == search.limit else None

    @property
    def did_you_mean(self) -> str | None:
        """With ``correct_typos``: the search text without its typos; None where it has none.

        >>> Note.objects.keyword_search("bycicle gears", correct_typos=True).did_you_mean
        'bicycle gears'

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        return self._searched().correction(self.db).did_you_mean

    @property
    def reranked(self) -> Outcome | None:
        """What became of the second stage of this search, see docs/reranking.md; None where it has none.

        >>> Note.objects.hybrid_search("gears", rerank="default").reranked.state
        'done'

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        search = self._searched()
        return search.outcome(self.db)

    def cursor_after(self, shown: Iterable[int]) -> str | None:
        """As ``next_cursor``, for a page that has shown only these of its hits, by their external data ids."""
        return self._searched().paging.cursor_after(shown)

    def _searched(self) -> Search:
        """The search that this queryset is the result of, with its rows fetched."""
        if self._search is not None:
            search = self._search
            self._fetch_all()
            return search
        return search_of(self)

    def _fetch_all(self) -> None:
        if (reading := self._reading()) is None or self._result_cache is not None:
            super()._fetch_all()
        else:
            reading.run(self._fetch_from)

    def _fetch_from(self, using: str) -> None:
        """Fetch from the server that ``reading`` has chosen, which ``db`` gives."""
        if self._search is not None:
            self._result_cache = _fetch_with_rows(self, self._search)
        super()._fetch_all()


@dataclass(frozen=True)
class RowStatement:
    """The SELECT that fetches the row of a hit: the argument ``row`` of ``gateway.fetch_hits``.

    Attributes:
        sql: its first column is the primary key; the others are the columns of the fields ``names``.
        names: the attribute names of the fields.
        converters: what Django applies to a value of the database, by the position of the field.
    """

    sql: str
    names: list[str]
    converters: dict[int, Any]

    def row(self, search: Search, using: str, hit: Hit, values: tuple[Any, ...]) -> Any:
        """The model instance with the attributes of its hit."""
        if self.converters:
            changed = list(values)
            for place, (convert, expression) in self.converters.items():
                for converter in convert:
                    changed[place] = converter(changed[place], expression, connections[using])
            values = tuple(changed)
        instance = search.base.model.from_db(using, self.names, values)
        for name, (attribute, _) in search.attributes.items():
            setattr(instance, name, getattr(hit, attribute))
        return instance


def _fetch_with_rows(rows: Any, search: Search) -> list[Any] | None:
    """The rows of a search, fetched in one statement, or None where it takes more than one."""
    using, model = rows.db, rows.model
    is_first = search.paging.is_plain and not search.offset
    is_simple = rows._iterable_class is ModelIterable and not rows._known_related_objects and is_first
    if not is_simple or search.pending is not None or search.has_results(using) or not _is_plain(search.base.query):
        return None
    if search.reranker(using) is not None:
        return None
    statement = _row_statement(model, search.key_column, using)
    if statement is None:
        return None
    with measured(search.query, connections[using].settings_dict["NAME"], search.limit) as told:

        def found_with_rows() -> tuple[list[Any], list[Hit]] | None:
            records = told.steps is not None
            with transaction.atomic(using=using) if records else nullcontext():
                query, page = search.query_on(using), Page(search.limit, record_plan=records)
                found = query.rows(using, page, search.filters(using), statement.sql)
                if told.steps is not None:
                    told.steps[:] = [query.step(using, requested=search.limit, found=len(found))]
                present = [row for row in found if row[HIT_COLUMNS] is not None]
                if len(present) < len(found) == search.limit:
                    return None
                return present, search.with_snippets(using, [Hit(*row[:HIT_COLUMNS]) for row in present])

        with time_limit(using):
            found = search.answer(using, found_with_rows)
        if found is None:
            # The row of a hit is gone, so there are fewer rows than the limit, and further hits may exist.
            told.is_counted = False
            return None
        present, hits = found
        told.hits, told.is_partial = len(present), bool(search.missing(using))
    search.store_results(using, hits)
    return [statement.row(search, using, hit, row[HIT_COLUMNS + 1 :]) for hit, row in zip(hits, present, strict=True)]


def _is_plain(query: Any) -> bool:
    """Whether a query selects all rows of its model, without filters, annotations, joins or deferred fields.

    It compares every attribute with that of a fresh query, so that no attribute can be forgotten.
    """
    fresh = vars(Query(query.model))
    return type(query) is Query and all(
        name in ORDERING or value == fresh.get(name, getattr(Query, name, None)) for name, value in vars(query).items()
    )


class _HitKey(Expression):
    """The object key of a hit as SQL: the outer side of the lateral join, unknown to Django's compiler."""

    def __init__(self, sql: str, output_field: Any) -> None:
        super().__init__(output_field=output_field)
        self.sql = sql

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.sql, ()


@lru_cache(maxsize=256)
def _row_statement(model: type[models.Model], column: str, using: str) -> RowStatement | None:
    """How rows of ``model`` are fetched with hits, or None where no cast makes a primary key of an object key."""
    pk: Any = model._meta.pk
    while not isinstance(pk, models.CompositePrimaryKey) and pk.remote_field is not None:
        pk = pk.target_field
    cast = CASTS.get(pk.get_internal_type())
    if cast is None:
        return None
    key = _HitKey(f"h.{column}{cast}", pk)
    names = [field.attname for field in model._meta.concrete_fields]
    rows: Any = models.QuerySet(model).filter(pk=key).order_by().values_list("pk", *names)
    compiler: Any = rows.query.get_compiler(using)
    sql, params = compiler.as_sql()
    converters = compiler.get_converters([expression for expression, _, _ in compiler.select[1:]])
    return None if params else RowStatement(sql, names, converters)
