"""Search across source models: the queryset and manager of ``ExternalData``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, get_args

from django.db import models

from pgknowbase.errors import SearchError
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source, source_of, sources
from pgknowbase.search.explanation import Explanation
from pgknowbase.search.hits import (
    Filters,
    HybridQuery,
    KeywordQuery,
    TextQuery,
    checked_text,
    checked_weight,
)
from pgknowbase.search.metadata import shown
from pgknowbase.search.options import Options, TextSearchOptions
from pgknowbase.search.pending import Pending
from pgknowbase.search.queryset import evaluated, rows_of
from pgknowbase.search.ranking import Search, by_external_data_id, check_searchable, explained
from pgknowbase.search.searched import SearchedQuerySet
from pgknowbase.search.visibility import viewer_param, visible_data, visible_rows

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

    def explain_search(self) -> Explanation:
        """As ``SemanticQuerySet.explain_search``."""
        return explained(self)

    def _ranked(
        self,
        query: TextQuery | KeywordQuery | HybridQuery,
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
            pending=Pending(query.text, asked, asker, ruled) if options.include_pending else None,
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
