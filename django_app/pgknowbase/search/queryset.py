"""Search on source models: ``SemanticQuerySet`` and its manager."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import models

from pgknowbase.core.keys import key_text
from pgknowbase.search.facets import Facets, FacetSpec, count_facets
from pgknowbase.search.filters import Filters, ObjectFilters, Options, SearchOptions, TextSearchOptions
from pgknowbase.search.paging import Paging
from pgknowbase.search.pending import PendingSearch
from pgknowbase.search.plan import Explanation
from pgknowbase.search.queries import (
    DenseQuery,
    HybridQuery,
    KeywordQuery,
    SimilarQuery,
    checked_text,
    checked_weight,
    declared_synonyms,
    with_synonyms,
)
from pgknowbase.search.reranking import SecondStage
from pgknowbase.search.result_queryset import Row, SearchedQuerySet
from pgknowbase.search.search import Search, check_searchable, explain_search, restrict_to_object_keys
from pgknowbase.search.similar import rows_to_compare, similar_query, visible_part
from pgknowbase.search.typos import TypoTolerance
from pgknowbase.search.visibility import Viewer, viewer_param, visible_data, visible_rows
from pgknowbase.sources.registry import Source, source_of

AnyQuery = DenseQuery | KeywordQuery | HybridQuery | SimilarQuery


class SemanticQuerySet(SearchedQuerySet[Row]):
    """A queryset of a source model that can be searched.

    The filters, excludes and slices that are chained before a search hold inside it, so ``limit`` rows come back
    whenever so many rows match. The result is a queryset too, best first. It searches once, when it is first evaluated.

    Each row of the result has these attributes:

    - ``similarity``: the cosine similarity of query and row, in [-1, 1], or None where no vectors were compared;
    - ``keyword_score``: the BM25 score, 0 or more, or None where the row shares no word with the query;
    - ``score``: the number that the rows are ordered by;
    - ``matched_chunk``: the text of the best chunk, or None where the row has no chunks yet;
    - ``matched_span``: where that chunk stands in the document's content, as a range of characters, or None where the
      content has changed since it was cut;
    - ``pending``: with ``include_pending`` only, whether a newer version of the row is not indexed yet;
    - ``highlighted_title`` and ``snippet``: with ``snippet_length`` only, HTML with the words of the query marked;
    - ``rerank_score`` and ``first_rank``: where ``RERANKERS`` has entries, what the second stage gave the row, and its
      place before.
    """

    def semantic_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Search for the rows whose embeddings are nearest to that of ``query``.

        >>> notes = Note.objects.filter(title__startswith="B").semantic_search("how do I repair my gears?", limit=5)
        >>> [(note.title, note.similarity) for note in notes]

        Args:
            query: the text to search for, at most 10,000 characters.
            options: see ``TextSearchOptions``. ``threshold`` is the least similarity, in [-1, 1].

        Raises:
            SearchError: an argument is out of range; raised at once.
            EmbeddingError: the query cannot be embedded; raised on evaluation, as are the next two.
            ConfigurationError: the embedding backend lacks a key or an extra.
            SpaceMismatchError: the settings have no embedding backend for the active space.
        """
        return self._ranked_by(DenseQuery(checked_text(query)), Options(**options))

    async def asemantic_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Async twin of ``semantic_search``; the result is evaluated already."""
        return await evaluated(self.semantic_search(query, **options))

    def keyword_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Search for the rows that share words with ``query``, scored by BM25. It needs no embedding.

        >>> Note.objects.keyword_search("gears", limit=5)

        Args:
            query: the text to search for, at most 10,000 characters.
            options: see ``TextSearchOptions``. ``threshold`` is the least BM25 score, 0 or more.

        Raises:
            SearchError: an argument is out of range.
        """
        return self._ranked_by(KeywordQuery(checked_text(query)), Options(**options, scored_by_words=True))

    async def akeyword_search(self, query: str, **options: Unpack[TextSearchOptions]) -> Self:
        """Async twin of ``keyword_search``; the result is evaluated already."""
        return await evaluated(self.keyword_search(query, **options))

    def hybrid_search(
        self, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> Self:
        """Search by embeddings and by words, with both scores fused.

        >>> Note.objects.hybrid_search("how do I repair my gears?", limit=5)

        Args:
            query: the text to search for, at most 10,000 characters.
            dense_weight: the weight of the similarity against the BM25 score, in [0, 1]. None takes
                ``SEARCH["DENSE_WEIGHT"]``, else what was tuned for the active space, else what suits its model.
            options: see ``TextSearchOptions``. ``threshold`` is the least similarity of rows that share no word with
                the query; rows that share one are found whatever their similarity.

        Raises:
            SearchError, EmbeddingError, ConfigurationError, SpaceMismatchError: as in ``semantic_search``.
        """
        hybrid = HybridQuery(checked_text(query), dense_weight=checked_weight(dense_weight))
        return self._ranked_by(hybrid, Options(**options))

    async def ahybrid_search(
        self, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> Self:
        """Async twin of ``hybrid_search``; the result is evaluated already."""
        return await evaluated(self.hybrid_search(query, dense_weight=dense_weight, **options))

    def similar_to(self, row: models.Model | Iterable[models.Model], **options: Unpack[SearchOptions]) -> Self:
        """Search for the rows most similar to ``row``, by the mean of its chunks; ``row`` itself is left out.

        >>> Note.objects.similar_to(article, limit=5)
        >>> Note.objects.similar_to([article, note], limit=5)  # most similar to both together

        Args:
            row: a saved row of this model or of another source model, or up to 100 such rows.
            options: see ``SearchOptions``. Rows that the user of ``visible_to`` may not see do not count; where there
                are no others, nothing is found.

        Raises:
            SearchError: an argument is out of range, or ``row`` is not a row of a source model.
            NotIndexedError: none of the rows has chunks yet; raised on evaluation.
        """
        given, chosen = rows_to_compare(row), Options(**options)
        chosen.check_without_text()
        using = given[0]._state.db or self.db
        similar, compared = similar_query(given, using), [_source_of(model) for model in {type(each) for each in given}]
        models_asked = [self.model, *(source.model for source in compared)]
        if all(visible_rows(model, chosen.visible_to) is None for model in models_asked):
            # Public and owned rows are the rule of all models. The SQL function applies it, to the given rows too.
            return self._ranked_by(similar, chosen)
        # The SQL function does not know rules of models, so it is not given the viewer.
        seen = visible_part(similar, compared, chosen.visible_to, using)
        return self._ranked_by(seen, chosen, rule_in_queryset=True)

    async def asimilar_to(self, row: models.Model | Iterable[models.Model], **options: Unpack[SearchOptions]) -> Self:
        """Async twin of ``similar_to``; the result is evaluated already."""
        return await evaluated(await sync_to_async(self.similar_to)(row, **options))

    def facets(
        self, *names: str, query: str | None = None, values: int = 20, **options: Unpack[ObjectFilters]
    ) -> Facets:
        """How many rows of this queryset there are by tag, value of a metadata key, or period, in one statement.

        >>> Note.objects.filter(draft=False).facets("tags", "metadata.kind", "updated:month", query="gears")

        Args:
            names: up to 10 of ``tags``, ``model``, ``metadata.KEY``, ``updated:PERIOD``, ``created:PERIOD`` and
                ``metadata.KEY:PERIOD``; a period is ``day``, ``month`` or ``year``.
            query: count only the rows that ``keyword_search`` finds for this text.
            values: how many values of each facet, up to 100: those that most rows have, or the latest periods.
            options: see ``ObjectFilters``.

        Raises:
            SearchError: an argument is out of range.
        """
        check_searchable(self)
        request = FacetSpec(names, None if query is None else checked_text(query), values)
        chosen = Options(**options)
        return self._run(chosen.freshness, lambda using: self._count(request, chosen, using))

    def _count(self, request: FacetSpec, chosen: Options, using: str) -> Facets:
        source = _source_of(self.model)
        is_ruled = visible_rows(self.model, chosen.visible_to) is not None
        given = self.query
        among: models.QuerySet[Any] | None = None
        if is_ruled or given.where or given.is_sliced or given.distinct_fields:
            keys = self.order_by() if not given.is_sliced and not given.distinct_fields else self
            known = apps.get_model("pgknowbase", "ExternalData")._default_manager.using(using)
            among = known.filter(
                content_type_id=source.content_type_id(using),
                object_key__in=keys.values(pgknowbase_key=key_text(self.model)),
            )
            if is_ruled:
                among = visible_data(among, [source], chosen.visible_to)
        filters = Filters.of(
            chosen,
            sources=[source.content_type_id(using)],
            visible_to=None if is_ruled else viewer_param(chosen.visible_to),
        )
        filters = with_synonyms(filters, declared_synonyms([source]), request.text or "")
        return count_facets(using, request, filters, [source], among)

    async def afacets(
        self, *names: str, query: str | None = None, values: int = 20, **options: Unpack[ObjectFilters]
    ) -> Facets:
        """Async twin of ``facets``."""
        return await sync_to_async(self.facets)(*names, query=query, values=values, **options)

    def explain_search(self) -> Explanation:
        """Run the search of this queryset anew, and return which plan it took and why.

        >>> print(Note.objects.filter(title__startswith="B").semantic_search("gears").explain_search())
        exact over the filtered rows: 2 pass, of at most 15,000; 2 of 10 found

        Raises:
            SearchError: this queryset is not the result of a search.
        """
        return explain_search(self)

    def with_external_data(self) -> Self:
        """The rows that have external data, that is, which the index knows."""
        return self.filter(self._is_indexed())

    def without_external_data(self) -> Self:
        """The rows that have no external data."""
        return self.filter(~self._is_indexed())

    def seen_by(self, viewer: Viewer) -> Self:
        """The rows that ``viewer`` may see: those of a superuser and of ``UNRESTRICTED`` are all.

        For anybody else they are rows that the index has, since it knows which are public and whose they are, or those
        that the model's own rule gives.
        """
        if viewer_param(viewer) is None:
            return self.all()
        return self.filter(self._seen_by(viewer, visible_rows(self.model, viewer)))

    def _seen_by(self, viewer: Viewer, rule: "models.QuerySet[Any] | None") -> models.Exists | models.Q:
        if rule is not None:
            return models.Q(pk__in=rule.values("pk"))
        return models.Exists(visible_data(self._external_data(), [_source_of(self.model)], viewer))

    def _is_indexed(self) -> models.Exists:
        return models.Exists(self._external_data())

    def _external_data(self) -> "models.QuerySet[Any]":
        """The external data of the current row of this queryset, for a correlated subquery."""
        data: models.QuerySet[Any] = apps.get_model("pgknowbase", "ExternalData")._default_manager.filter(
            content_type_id=source_of(self.model).content_type_id(self.db),
            object_key=key_text(self.model, models.OuterRef),
        )
        return data

    def _ranked_by(self, query: AnyQuery, options: Options, *, rule_in_queryset: bool = False) -> Self:
        """The rows of this queryset that ``query`` finds, best first."""
        return self._with_search(self.search_by(query, options, rule_in_queryset=rule_in_queryset))

    def search_by(self, query: AnyQuery, options: Options, *, rule_in_queryset: bool = False) -> Search:
        """The search for ``query`` among the rows of this queryset.

        Args:
            rule_in_queryset: do not leave visibility to the SQL function, even if no rule of this model demands it.

        For callers that put ``IsHit`` and ``relevance`` of it into a queryset of their own, such as the admin.
        """
        check_searchable(self)
        source, rule = _source_of(self.model), visible_rows(self.model, options.visible_to)
        if isinstance(query, KeywordQuery | HybridQuery):
            query = replace(query, synonyms=declared_synonyms([source]))
        base: models.QuerySet[Any] = self
        viewer = viewer_param(options.visible_to)
        private = rule is not None or rule_in_queryset
        if private:
            # Visibility becomes a condition of the queryset, and the SQL function is not given the viewer: it would
            # apply the rule of public and owned rows, which the model's own rule replaces.
            if self.query.is_sliced or self.query.distinct_fields:
                base = as_filterable(self)
            base = base.filter(self._seen_by(options.visible_to, rule))
            viewer = None

        def visible_objects(using: str) -> models.QuerySet[Any]:
            known = apps.get_model("pgknowbase", "ExternalData")._default_manager.using(using)
            of_source = known.filter(content_type_id=source.content_type_id(using))
            return visible_data(of_source, [source], options.visible_to)

        return Search(
            base=base,
            query=query,
            filters=lambda using: Filters.of(
                options, sources=[source.content_type_id(using)], visible_to=viewer, private=private
            ),
            limit=options.limit,
            offset=options.offset,
            paging=Paging(query, options, [source.label]),
            snippet_length=options.snippet_length,
            freshness=options.freshness,
            if_server_down=options.if_server_down,
            second_stage=SecondStage.of(query, options, [source.label]),
            typos=TypoTolerance(visible_objects if private else None) if options.correct_typos else None,
            key_column="object_key",
            restrict_to_keys=restrict_to_object_keys,
            pending=PendingSearch(query.text, [source], viewer, [] if rule is None else [source])
            if options.include_pending and not isinstance(query, SimilarQuery)
            else None,
        )


@lru_cache(maxsize=256)
def _source_of(model: type[models.Model]) -> Source:
    """``source_of``, cached: a search needs the label of the source alone, which does not change."""
    return source_of(model)


def searchable(queryset: models.QuerySet[Row]) -> SemanticQuerySet[Row]:
    """The same rows as a queryset that can be searched, whatever manager ``queryset`` comes from."""
    if isinstance(queryset, SemanticQuerySet):
        return queryset
    return SemanticQuerySet(queryset.model, query=queryset.query.chain(), using=queryset._db)  # type: ignore[attr-defined]


def as_filterable(queryset: models.QuerySet[Row]) -> models.QuerySet[Row]:
    """The rows of a sliced queryset as a queryset that can be filtered: the slice becomes a subquery."""
    return queryset.model._base_manager.using(queryset._db).filter(pk__in=queryset.values("pk"))  # type: ignore[attr-defined]


Rows = TypeVar("Rows", bound="models.QuerySet[Any]")


async def evaluated(rows: Rows) -> Rows:
    """``rows`` with its result fetched in a thread, so that iterating over it runs no statement."""
    await sync_to_async(rows._fetch_all)()
    return rows


if TYPE_CHECKING:

    class _Manager(SemanticQuerySet[Row], models.Manager[Row]):  # type: ignore[misc]
        """What ``from_queryset`` returns, for the type checker."""

else:
    _Manager = models.Manager.from_queryset(SemanticQuerySet)


class SemanticManager(_Manager[Row]):
    """The manager of models with ``ExternalDataMixin``.

    A model with a manager of its own derives it from this class, or uses ``SemanticQuerySet.as_manager()``.
    """
