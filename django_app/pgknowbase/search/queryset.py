"""Search on source models: ``SemanticQuerySet`` and its manager."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import models

from pgknowbase.errors import SearchError
from pgknowbase.keys import key_text, object_key
from pgknowbase.registry import Source, is_source, source_of
from pgknowbase.search.explanation import Explanation
from pgknowbase.search.hits import (
    Filters,
    HybridQuery,
    KeywordQuery,
    LikeQuery,
    TextQuery,
    checked_text,
    checked_weight,
)
from pgknowbase.search.metadata import shown
from pgknowbase.search.options import Options, SearchOptions, TextSearchOptions
from pgknowbase.search.pending import Pending
from pgknowbase.search.ranking import Search, by_object_key, check_searchable, explained
from pgknowbase.search.searched import Row, SearchedQuerySet
from pgknowbase.search.visibility import viewer_param, visible_data, visible_rows

AnyQuery = TextQuery | KeywordQuery | HybridQuery | LikeQuery


class SemanticQuerySet(SearchedQuerySet[Row]):
    """A queryset of a source model that can be searched.

    What is chained before a search (filter, exclude, slice, ...) holds inside it; the result is a queryset like any
    other, best first, whose rows carry ``similarity`` (cosine, in [-1, 1]), ``keyword_score`` (BM25), ``score`` (what
    they are ordered by), ``matched_chunk`` (the text of the best chunk) and ``matched_span`` (where it stands in the
    document's content, a range of characters, or None). The search runs when the result is first evaluated, once.
    """

    def semantic_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """The rows nearest in meaning to ``query``; options as in ``SearchOptions``.

        Raises:
            SearchError: an argument is out of range, at once.
            EmbeddingError: the query cannot be embedded, on evaluation.
        """
        return self._ranked(TextQuery(checked_text(query)), Options(**options))

    async def asemantic_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Async twin of ``semantic_search``; the result is evaluated already."""
        return await evaluated(self.semantic_search(query, **options))

    def keyword_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """The rows that share words with ``query``, by BM25; needs no embedding.

        ``threshold`` is the least score. Raises as ``semantic_search``.
        """
        return self._ranked(KeywordQuery(checked_text(query)), Options(**options, scored_by_words=True))

    async def akeyword_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Async twin of ``keyword_search``; the result is evaluated already."""
        return await evaluated(self.keyword_search(query, **options))

    def hybrid_search(
        self, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> Self:
        """The rows nearest to ``query`` in meaning and in words.

        ``dense_weight``: what meaning weighs, in [0, 1]; None: SEARCH["DENSE_WEIGHT"], else as fitted, else 0.45.
        ``threshold`` is the least similarity of a row that shares no word with ``query``.
        Raises as ``semantic_search``.
        """
        chosen = HybridQuery(checked_text(query), dense_weight=checked_weight(dense_weight))
        return self._ranked(chosen, Options(**options))

    async def ahybrid_search(
        self, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> Self:
        """Async twin of ``hybrid_search``; the result is evaluated already."""
        return await evaluated(self.hybrid_search(query, dense_weight=dense_weight, **options))

    def similar_to(self, row: models.Model, **options: Unpack[SearchOptions]) -> Self:
        """The rows most like ``row``, which may be of another source model, itself left out; see ``semantic_search``.

        Nothing is like a row that the user of ``visible_to`` may not see.

        Raises:
            NotIndexedError: ``row`` has no chunks yet, on evaluation.
        """
        if not is_source(type(row)):
            raise SearchError(f"{shown(row)} is of no source model: pass a row of a model with ExternalDataMixin.")
        chosen, source = Options(**options), source_of(type(row))
        if chosen.include_pending:
            raise SearchError("include_pending needs a search text: leave it out of a search by another row.")
        like = LikeQuery(source.content_type_id(row._state.db or self.db), object_key=object_key(row.pk))
        rules = [visible_rows(model, chosen.visible_to) for model in (self.model, source.model)]
        if rules == [None, None]:
            return self._ranked(like, chosen)
        known = apps.get_model("pgknowbase", "ExternalData")._default_manager.of(cast(Any, row))
        seen = models.Exists(visible_data(known, [source], chosen.visible_to))
        return self._ranked(like, chosen, seen)

    async def asimilar_to(self, row: models.Model, **options: Unpack[SearchOptions]) -> Self:
        """Async twin of ``similar_to``; the result is evaluated already."""
        return await evaluated(await sync_to_async(self.similar_to)(row, **options))

    def explain_search(self) -> Explanation:
        """How the search that made this queryset finds its rows: which plan, and why. It searches anew.

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        return explained(self)

    def with_external_data(self) -> Self:
        """The rows that the index knows."""
        return self.filter(self._known())

    def without_external_data(self) -> Self:
        """The rows that the index does not know."""
        return self.filter(~self._known())

    def _known(self) -> models.Exists:
        return models.Exists(self._data())

    def _data(self) -> "models.QuerySet[Any]":
        """The external data of a row of this queryset, for a subquery."""
        data: models.QuerySet[Any] = apps.get_model("pgknowbase", "ExternalData")._default_manager.filter(
            content_type_id=source_of(self.model).content_type_id(self.db),
            object_key=key_text(self.model, models.OuterRef),
        )
        return data

    def _ranked(self, query: AnyQuery, options: Options, *conditions: models.Exists) -> Self:
        """This queryset, searched; the rows found satisfy ``conditions`` too."""
        check_searchable(self)
        source, rule = _known_source(self.model), visible_rows(self.model, options.visible_to)
        base: models.QuerySet[Any] = self
        viewer = viewer_param(options.visible_to)
        if rule is not None or conditions:
            if self.query.is_sliced or self.query.distinct_fields:
                base = rows_of(self)
            allowed = models.Exists(visible_data(self._data(), [source], options.visible_to))
            base = base.filter(allowed if rule is None else models.Q(pk__in=rule.values("pk")), *conditions)
            viewer = None
        search = Search(
            base=base,
            query=query,
            filters=lambda using: Filters.of(options, sources=[source.content_type_id(using)], viewer=viewer),
            limit=options.limit,
            offset=options.offset,
            key_column="object_key",
            narrowed=by_object_key,
            pending=Pending(query.text, [source], viewer, [] if rule is None else [source])
            if options.include_pending and not isinstance(query, LikeQuery)
            else None,
        )
        return self._ranked_by(search)


@lru_cache(maxsize=256)
def _known_source(model: type[models.Model]) -> Source:
    """``source_of``, once: a search needs no more of it than its name."""
    return source_of(model)


def rows_of(queryset: models.QuerySet[Row]) -> models.QuerySet[Row]:
    """A queryset of the same rows that can be filtered, where the given one has a slice."""
    return queryset.model._base_manager.using(queryset._db).filter(pk__in=queryset.values("pk"))  # type: ignore[attr-defined]


Rows = TypeVar("Rows", bound="models.QuerySet[Any]")


async def evaluated(rows: Rows) -> Rows:
    """``rows`` with its result fetched, so that it can be walked without another await."""
    await sync_to_async(rows._fetch_all)()
    return rows


if TYPE_CHECKING:

    class _Manager(SemanticQuerySet[Row], models.Manager[Row]):  # type: ignore[misc]
        """What ``from_queryset`` gives."""

else:
    _Manager = models.Manager.from_queryset(SemanticQuerySet)


class SemanticManager(_Manager[Row]):
    """The manager that ``ExternalDataMixin`` brings; models with their own use ``SemanticQuerySet.as_manager()``."""
