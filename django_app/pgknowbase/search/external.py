"""Search across source models: the queryset and manager of ``ExternalData``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, get_args

from asgiref.sync import sync_to_async
from django.db import models

from pgknowbase.errors import SearchError
from pgknowbase.keys import object_key
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source, is_source, source_of, sources
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
from pgknowbase.search.queryset import evaluated, rows_of
from pgknowbase.search.ranking import Search, by_external_data_id, check_searchable, explained
from pgknowbase.search.searched import SearchedQuerySet
from pgknowbase.search.visibility import Viewer, viewer_param, visible_data, visible_rows

Leg = Literal["semantic", "keyword", "hybrid"]
LEGS: tuple[Leg, ...] = get_args(Leg)


class ExternalDataQuerySet(SearchedQuerySet[Any]):
    """A queryset of ``ExternalData`` that can be searched across source models."""

    def of(self, row: SourceRow) -> Self:
        """What the index knows of one source row: none or one."""
        content_type_id = source_of(row._meta.model).content_type_id(row._state.db or self.db)
        return self.filter(content_type_id=content_type_id, object_key=row.external_source_id)

    def search(
        self,
        query: str,
        *,
        models: Sequence[type[models.Model]] | None = None,
        leg: Leg = "semantic",
        dense_weight: float | None = None,
        **options: Unpack[TextSearchOptions],
    ) -> Self:
        """The objects nearest to ``query``, of the given source models or of all, best first.

        ``leg``: by meaning, by words or by both, as ``semantic_search``, ``keyword_search`` and ``hybrid_search`` of
        ``SemanticQuerySet``, which rows and options are like too. ``dense_weight``: for ``hybrid`` alone.

        Raises:
            SearchError: an argument is out of range.
            ConfigurationError: one of ``models`` is no source model.
        """
        text = checked_text(query)
        if leg not in LEGS:
            raise SearchError(f"leg {shown(leg)} is unknown: pass one of {', '.join(map(repr, LEGS))}.")
        if leg == "keyword":
            return self._ranked(KeywordQuery(text), models, Options(**options, scored_by_words=True))
        if leg == "hybrid":
            both = HybridQuery(text, dense_weight=checked_weight(dense_weight))
            return self._ranked(both, models, Options(**options))
        return self._ranked(TextQuery(text), models, Options(**options))

    async def asearch(
        self,
        query: str,
        *,
        models: Sequence[type[models.Model]] | None = None,
        leg: Leg = "semantic",
        dense_weight: float | None = None,
        **options: Unpack[TextSearchOptions],
    ) -> Self:
        """Async twin of ``search``; the result is evaluated already."""
        return await evaluated(self.search(query, models=models, leg=leg, dense_weight=dense_weight, **options))

    def similar_to(
        self,
        row: models.Model,
        *,
        models: Sequence[type[models.Model]] | None = None,
        **options: Unpack[SearchOptions],
    ) -> Self:
        """The objects most like the source row ``row``, of the given source models or of all, itself left out.

        Nothing is like a row that the user of ``visible_to`` may not see.

        Raises:
            SearchError: an argument is out of range, or ``row`` is of no source model.
            NotIndexedError: ``row`` has no chunks yet, on evaluation.
        """
        if not is_source(type(row)):
            raise SearchError(f"{shown(row)} is of no source model: pass a row of a model with ExternalDataMixin.")
        chosen, source = Options(**options), source_of(type(row))
        using = row._state.db or self.db
        like = LikeQuery(source.content_type_id(using), object_key=object_key(row.pk))
        viewer = viewer_param(chosen.visible_to)
        if viewer is not None and any(
            visible_rows(other.model, chosen.visible_to) is not None for other in [source, *sources()]
        ):
            # The SQL function is not told of the rules of models, so it cannot know whether the row itself is seen.
            itself = self.model._default_manager.using(using).of_key(source, like.object_key)
            if not itself.visible(source, chosen.visible_to).exists():
                return self.none()
        return self._ranked(like, models, chosen)

    async def asimilar_to(
        self,
        row: models.Model,
        *,
        models: Sequence[type[models.Model]] | None = None,
        **options: Unpack[SearchOptions],
    ) -> Self:
        """Async twin of ``similar_to``; the result is evaluated already."""
        return await evaluated(await sync_to_async(self.similar_to)(row, models=models, **options))

    def of_key(self, source: Source, key: str) -> Self:
        """What the index knows of the object ``key`` of one source model: none or one."""
        return self.filter(content_type_id=source.content_type_id(self.db), object_key=key)

    def visible(self, source: Source, visible_to: Viewer) -> Self:
        """The objects of one source model among these that this user may see."""
        return visible_data(self, [source], visible_to)

    def explain_search(self) -> Explanation:
        """As ``SemanticQuerySet.explain_search``."""
        return explained(self)

    def _ranked(
        self,
        query: TextQuery | KeywordQuery | HybridQuery | LikeQuery,
        among: Sequence[type[models.Model]] | None,
        options: Options,
    ) -> Self:
        check_searchable(self)
        chosen = None if among is None else [_source(model) for model in among]
        base: Any = self
        viewer = asker = viewer_param(options.visible_to)
        asked = sources() if chosen is None else chosen
        ruled: list[Source] = []
        if viewer:
            ruled = [source for source in asked if visible_rows(source.model, options.visible_to) is not None]
            if ruled:
                base, viewer = self._visible(asked, options), None

        def filters(using: str) -> Filters:
            ids = None if chosen is None else [source.content_type_id(using) for source in chosen]
            return Filters.of(options, sources=ids, viewer=viewer)

        search = Search(
            base=base,
            query=query,
            filters=filters,
            limit=options.limit,
            offset=options.offset,
            key_column="external_data_id",
            narrowed=by_external_data_id,
            pending=(
                Pending(query.text, asked, asker, ruled)
                if options.include_pending and not isinstance(query, LikeQuery)
                else None
            ),
        )
        return self._ranked_by(search)

    def _visible(self, asked: Sequence[Source], options: Options) -> Any:
        base: Any = rows_of(self) if self.query.is_sliced or self.query.distinct_fields else self
        return visible_data(base, asked, options.visible_to)


def _source(model: Any) -> Source:
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        raise SearchError(f"{shown(model)} is no model: pass the class of a source model.")
    return source_of(model)


if TYPE_CHECKING:

    class _Manager(ExternalDataQuerySet, models.Manager[Any]):  # type: ignore[misc]
        """What ``from_queryset`` gives."""

else:
    _Manager = models.Manager.from_queryset(ExternalDataQuerySet)


class ExternalDataManager(_Manager):
    """The manager of ``ExternalData``."""
