"""Search across source models: the queryset and the manager of ``ExternalData``."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, Unpack, get_args

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import models

from pgknowbase.core.text import short_repr
from pgknowbase.errors import SearchError
from pgknowbase.search.facets import Facets, FacetSpec, count_facets
from pgknowbase.search.filters import MAX_MODELS, Filters, ObjectFilters, Options, SearchOptions, TextSearchOptions
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
from pgknowbase.search.queryset import AnyQuery, as_filterable, evaluated
from pgknowbase.search.reranking import SecondStage
from pgknowbase.search.result_queryset import SearchedQuerySet
from pgknowbase.search.search import Search, check_searchable, explain_search, restrict_to_external_data
from pgknowbase.search.similar import rows_to_compare, similar_query, visible_part
from pgknowbase.search.typos import TypoTolerance
from pgknowbase.search.visibility import Viewer, viewer_param, visible_data, visible_rows
from pgknowbase.sources.declaration import SourceRow
from pgknowbase.sources.registry import Source, content_type_ids, source_of, sources

SearchMode = Literal["semantic", "keyword", "hybrid"]
SourceRows: TypeAlias = models.Model | Iterable[models.Model]
SEARCH_MODES: tuple[SearchMode, ...] = get_args(SearchMode)


def external_data(using: str) -> Any:
    """All rows of ``ExternalData`` in a database, as an ``ExternalDataQuerySet``.

    The model comes from the app registry because it imports this module for its manager.
    """
    return apps.get_model("pgknowbase", "ExternalData")._default_manager.using(using)


class ExternalDataQuerySet(SearchedQuerySet[Any]):
    """A queryset of ``ExternalData`` that can be searched across source models.

    The rows of a search have the same attributes as those of ``SemanticQuerySet``: ``similarity`` and so on.
    """

    def of(self, row: SourceRow) -> Self:
        """The external data of one source row: one row, or none where the index does not know it."""
        content_type_id = source_of(row._meta.model).content_type_id(row._state.db or self.db)
        return self.filter(content_type_id=content_type_id, object_key=row.external_source_id)

    def search(
        self,
        query: str,
        *,
        models: Sequence[type[models.Model]] | None = None,
        mode: SearchMode = "semantic",
        dense_weight: float | None = None,
        **options: Unpack[TextSearchOptions],
    ) -> Self:
        """Search the objects of several source models, best first.

        >>> hits = ExternalData.objects.search("how do I repair my gears?", models=[Note, Article], visible_to=user)
        >>> [(hit.source_object, hit.similarity) for hit in hits]

        Args:
            query: the text to search for, at most 10,000 characters.
            models: the source models whose objects are searched; None for all.
            mode: ``"semantic"``, ``"keyword"`` or ``"hybrid"``, as the methods of ``SemanticQuerySet``.
            dense_weight: the weight of the similarity in [0, 1]; for ``mode="hybrid"``.
            options: see ``TextSearchOptions``.

        Raises:
            SearchError: an argument is out of range.
            ConfigurationError: one of ``models`` is not a source model.
            EmbeddingError: the query cannot be embedded; raised on evaluation.
        """
        text = checked_text(query)
        if mode not in SEARCH_MODES:
            raise SearchError(f"mode {short_repr(mode)} is unknown: pass one of {', '.join(map(repr, SEARCH_MODES))}.")
        if mode == "keyword":
            return self._ranked_by(KeywordQuery(text), models, Options(**options, scored_by_words=True))
        if mode == "hybrid":
            hybrid = HybridQuery(text, dense_weight=checked_weight(dense_weight))
            return self._ranked_by(hybrid, models, Options(**options))
        return self._ranked_by(DenseQuery(text), models, Options(**options))

    async def asearch(
        self,
        query: str,
        *,
        models: Sequence[type[models.Model]] | None = None,
        mode: SearchMode = "semantic",
        dense_weight: float | None = None,
        **options: Unpack[TextSearchOptions],
    ) -> Self:
        """Async twin of ``search``; the result is evaluated already."""
        return await evaluated(self.search(query, models=models, mode=mode, dense_weight=dense_weight, **options))

    def similar_to(
        self,
        row: SourceRows,
        *,
        models: Sequence[type[models.Model]] | None = None,
        **options: Unpack[SearchOptions],
    ) -> Self:
        """Search for the objects most similar to a source row, or to several together; these are left out.

        >>> ExternalData.objects.similar_to(note, models=[Article], limit=5)

        Args:
            row: a saved row of a source model, or up to 100 such rows.
            models: the source models whose objects are searched; None for all.
            options: see ``SearchOptions``. Rows that the user of ``visible_to`` may not see do not count; where there
                are no others, nothing is found.

        Raises:
            SearchError: an argument is out of range, or ``row`` is not a row of a source model.
            NotIndexedError: none of the rows has chunks yet; raised on evaluation.
        """
        given, chosen = rows_to_compare(row), Options(**options)
        chosen.check_without_text()
        using = given[0]._state.db or self.db
        similar, compared = similar_query(given, using), [source_of(model) for model in {type(each) for each in given}]
        if viewer_param(chosen.visible_to) is not None and _is_ruled([*compared, *sources()], chosen.visible_to):
            # Where a model has a rule of its own, visibility is a condition of the queryset and the SQL function is not
            # given the viewer. So it cannot check that the user may see the rows themselves; this statement does.
            similar = visible_part(similar, compared, chosen.visible_to, using)
        return self._ranked_by(similar, models, chosen)

    async def asimilar_to(
        self,
        row: SourceRows,
        *,
        models: Sequence[type[models.Model]] | None = None,
        **options: Unpack[SearchOptions],
    ) -> Self:
        """Async twin of ``similar_to``; the result is evaluated already."""
        return await evaluated(await sync_to_async(self.similar_to)(row, models=models, **options))

    def facets(
        self,
        *names: str,
        query: str | None = None,
        models: Sequence[type[models.Model]] | None = None,
        values: int = 20,
        **options: Unpack[ObjectFilters],
    ) -> Facets:
        """How many objects there are by tag, model, metadata key or period: see ``SemanticQuerySet.facets``.

        >>> ExternalData.objects.facets("model", "tags", query="gears", visible_to=user)

        Args:
            models: the source models whose objects are counted; None for all.

        Raises:
            SearchError: an argument is out of range.
            ConfigurationError: one of ``models`` is not a source model.
        """
        check_searchable(self)
        request = FacetSpec(names, None if query is None else checked_text(query), values)
        chosen = Options(**options)
        searched = sources() if models is None else _sources(models)
        return self._run(chosen.freshness, lambda using: self._count(request, searched, chosen, using))

    def _count(self, request: FacetSpec, searched: Sequence[Source], chosen: Options, using: str) -> Facets:
        is_ruled = _is_ruled(searched, chosen.visible_to)
        among: Any = None
        if is_ruled or self.query.where or self.query.is_sliced or self.query.distinct_fields:
            among = as_filterable(self) if self.query.is_sliced or self.query.distinct_fields else self
            if is_ruled:
                among = visible_data(among, searched, chosen.visible_to)
        ids = content_type_ids(searched, using)
        viewer = None if is_ruled else viewer_param(chosen.visible_to)
        filters = Filters.of(chosen, sources=ids, visible_to=viewer)
        filters = with_synonyms(filters, declared_synonyms(searched), request.text or "")
        return count_facets(using, request, filters, searched, among)

    async def afacets(
        self,
        *names: str,
        query: str | None = None,
        models: Sequence[type[models.Model]] | None = None,
        values: int = 20,
        **options: Unpack[ObjectFilters],
    ) -> Facets:
        """Async twin of ``facets``."""
        return await sync_to_async(self.facets)(*names, query=query, models=models, values=values, **options)

    def of_key(self, source: Source, key: str) -> Self:
        """The external data of the object with this key: one row, or none where the index does not know it."""
        return self.filter(content_type_id=source.content_type_id(self.db), object_key=key)

    def visible(self, source: Source, visible_to: Viewer) -> Self:
        """The rows that this user may see, where all rows are objects of ``source``."""
        return visible_data(self, [source], visible_to)

    def explain_search(self) -> Explanation:
        """Run the search of this queryset anew, and return how it ran: see ``SemanticQuerySet.explain_search``."""
        return explain_search(self)

    def _ranked_by(self, query: AnyQuery, models: Sequence[type[models.Model]] | None, options: Options) -> Self:
        """The objects of ``models`` that ``query`` finds among these rows, best first."""
        check_searchable(self)
        chosen = None if models is None else _sources(models)
        searched = sources() if chosen is None else chosen
        if isinstance(query, KeywordQuery | HybridQuery):
            query = replace(query, synonyms=declared_synonyms(searched))
        base: Any = self
        viewer = viewer_in_sql = viewer_param(options.visible_to)
        ruled: list[Source] = []
        if viewer:
            ruled = [source for source in searched if visible_rows(source.model, options.visible_to) is not None]
            if ruled:
                # Rules of models are querysets, which the SQL function cannot evaluate. Visibility of all models then
                # becomes a condition of the queryset.
                base, viewer_in_sql = self._visible(searched, options), None

        def filters(using: str) -> Filters:
            # Without ``models``, the filter still names the source models: what the index holds of a model that is not
            # a source any more must not be found. No rule says who may see it, and no trigger reports its changes.
            if chosen is None:
                ids = content_type_ids(searched, using)
            else:
                ids = [source.content_type_id(using) for source in chosen]
            return Filters.of(options, sources=ids, visible_to=viewer_in_sql, private=bool(ruled))

        def visible_objects(using: str) -> Any:
            known = external_data(using).filter(content_type_id__in=content_type_ids(searched, using))
            return visible_data(known, searched, options.visible_to)

        search = Search(
            base=base,
            query=query,
            filters=filters,
            limit=options.limit,
            offset=options.offset,
            paging=Paging(query, options, [] if chosen is None else [source.label for source in chosen]),
            snippet_length=options.snippet_length,
            freshness=options.freshness,
            if_server_down=options.if_server_down,
            second_stage=SecondStage.of(query, options, [] if chosen is None else [each.label for each in chosen]),
            typos=TypoTolerance(visible_objects if ruled else None) if options.correct_typos else None,
            key_column="external_data_id",
            restrict_to_keys=restrict_to_external_data,
            pending=(
                PendingSearch(query.text, searched, viewer, ruled)
                if options.include_pending and not isinstance(query, SimilarQuery)
                else None
            ),
        )
        return self._with_search(search)

    def _visible(self, searched: Sequence[Source], options: Options) -> Any:
        base: Any = as_filterable(self) if self.query.is_sliced or self.query.distinct_fields else self
        return visible_data(base, searched, options.visible_to)


def _is_ruled(searched: Sequence[Source], visible_to: Viewer) -> bool:
    """Whether one of these models has a rule of its own for this user."""
    return any(visible_rows(source.model, visible_to) is not None for source in searched)


def _sources(chosen: Sequence[Any]) -> list[Source]:
    """The source models, each once."""
    given = list(chosen)
    if len(given) > MAX_MODELS:
        raise SearchError(f"models has {len(given)} entries: pass at most {MAX_MODELS}, or None for all.")
    for model in given:
        if not (isinstance(model, type) and issubclass(model, models.Model)):
            raise SearchError(f"{short_repr(model)} is not a model: pass the class of a source model.")
    return [source_of(model) for model in dict.fromkeys(given)]


if TYPE_CHECKING:

    class _Manager(ExternalDataQuerySet, models.Manager[Any]):  # type: ignore[misc]
        """What ``from_queryset`` returns, for the type checker."""

else:
    _Manager = models.Manager.from_queryset(ExternalDataQuerySet)


class ExternalDataManager(_Manager):
    """The manager of ``ExternalData``."""
