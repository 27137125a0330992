"""A queryset that may be the result of a search, and how such a one is fetched in the statement that searches."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import connections, models
from django.db.models.expressions import Expression
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

from pgknowbase.search.hits import Hit, Page
from pgknowbase.search.ranking import CARRIED, Search, check_names, ranked_query

Row = TypeVar("Row", bound=models.Model, covariant=True)
HIT_COLUMNS = len(Hit.__slots__) - 1  # the database does not say what is pending
# Primary keys whose text means the same in Python and in Postgres, by what a hit's key is cast to.
CASTS = {
    **dict.fromkeys(("CharField", "SlugField", "TextField"), ""),
    **dict.fromkeys(("AutoField", "BigAutoField", "SmallAutoField"), "::bigint"),
    **dict.fromkeys(("IntegerField", "BigIntegerField", "SmallIntegerField"), "::bigint"),
    **dict.fromkeys(("PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField"), "::bigint"),
    "UUIDField": "::uuid",
}
# What of a query does not matter, because a search orders its rows itself.
ORDERING = {"order_by", "standard_ordering", "default_ordering", "filter_is_sticky"}


class SearchedQuerySet(models.QuerySet[Row]):
    """A queryset that knows the search whose result it is.

    Evaluated as it is, it is fetched by the statement that searches. Whatever is chained to it, or asked of its query,
    makes the search a part of that query first.
    """

    _search: Search | None = None

    def _ranked_by(self, search: Search) -> Self:
        """The result of ``search`` among the rows of this queryset."""
        check_names(self.model, pending=search.pending is not None)
        rows: Any = self._chain()  # type: ignore[attr-defined]
        rows._search = search
        return rows  # type: ignore[no-any-return]

    if not TYPE_CHECKING:

        @property
        def query(self) -> Query:
            search, self._search = self._search, None
            if search is not None:
                self._query = ranked_query(self._chain(), search)
            return super().query

        @query.setter
        def query(self, value: Query) -> None:
            models.QuerySet.query.fset(self, value)

    def _fetch_all(self) -> None:
        if self._search is not None and self._result_cache is None:
            self._result_cache = _fetched(self, self._search)
        super()._fetch_all()


@dataclass(frozen=True)
class Beside:
    """A statement, for ``gateway.fetch_hits``, that gives the row of a hit: its key, then ``names``."""

    sql: str
    names: list[str]
    converters: dict[int, Any]

    def row(self, model: Any, using: str, hit: Hit, values: tuple[Any, ...]) -> Any:
        """The instance of ``model`` with what the search knows of it."""
        if self.converters:
            changed = list(values)
            for place, (convert, expression) in self.converters.items():
                for converter in convert:
                    changed[place] = converter(changed[place], expression, connections[using])
            values = tuple(changed)
        made = model.from_db(using, self.names, values)
        for name, (attribute, _) in CARRIED.items():
            setattr(made, name, getattr(hit, attribute))
        return made


def _fetched(rows: Any, search: Search) -> list[Any] | None:
    """The rows of a search, in one statement; None where it takes more."""
    using, model = rows.db, rows.model
    fit = rows._iterable_class is ModelIterable and not rows._known_related_objects and not search.offset
    if not fit or search.pending is not None or search.was_made(using) or not _is_plain(search.base.query):
        return None
    beside = _beside(model, search.key_column, using)
    if beside is None:
        return None
    found = search.query.rows(using, Page(search.limit), search.filters(using), beside.sql)
    pairs = [(Hit(*row[:HIT_COLUMNS]), row[HIT_COLUMNS + 1 :]) for row in found if row[HIT_COLUMNS] is not None]
    if len(pairs) < len(found) == search.limit:
        # Of a hit the row is gone, and others may take its place.
        return None
    search.keep(using, [hit for hit, _ in pairs])
    return [beside.row(model, using, hit, values) for hit, values in pairs]


def _is_plain(query: Any) -> bool:
    """Whether a query is for all rows of its model, as they are."""
    fresh = vars(Query(query.model))
    return type(query) is Query and all(
        name in ORDERING or value == fresh.get(name, getattr(Query, name, None)) for name, value in vars(query).items()
    )


class _HitKey(Expression):
    """The key of the hit beside which a row is fetched."""

    def __init__(self, sql: str, output_field: Any) -> None:
        super().__init__(output_field=output_field)
        self.sql = sql

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.sql, ()


@lru_cache(maxsize=256)
def _beside(model: type[models.Model], column: str, using: str) -> Beside | None:
    """How rows of ``model`` are fetched beside hits; None where a key as text is no value of its primary key."""
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
    return None if params else Beside(sql, names, converters)
