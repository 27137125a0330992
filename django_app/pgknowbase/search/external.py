"""Search across source models: the queryset and manager of ``ExternalData``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from django.db import models

from pgknowbase.meta import SourceRow
from pgknowbase.registry import source_of
from pgknowbase.search.hits import Filters, Hit, checked_limit, checked_threshold, text_query
from pgknowbase.search.queryset import evaluated
from pgknowbase.search.ranking import Search, by_external_data_id, ranked
from pgknowbase.search.visibility import EVERYTHING, Viewer, viewer_param


class ExternalDataQuerySet(models.QuerySet[Any]):
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
        limit: int = 10,
        threshold: float | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        visible_to: Viewer = EVERYTHING,
    ) -> Self:
        """The objects nearest in meaning to ``query``, of the given source models or of all, best first.

        Each carries ``similarity`` and ``matched_chunk``. Options as in ``SemanticQuerySet.semantic_search``.

        Raises:
            SearchError: an argument is out of range.
            ConfigurationError: one of ``models`` is no source model.
        """
        among = None if models is None else [source_of(model) for model in models]
        least, viewer = checked_threshold(threshold), viewer_param(visible_to)

        def filters(using: str) -> Filters:
            sources = None if among is None else [source.content_type_id(using) for source in among]
            return Filters(sources, least, viewer, metadata, tags)

        found = Search(
            base=self,
            query=text_query(query),
            filters=filters,
            limit=checked_limit(limit),
            key_of=_external_data_key,
            narrowed=by_external_data_id,
        )
        return ranked(self, found)

    async def asearch(self, query: str, **options: Any) -> Self:
        """Async twin of ``search``; the result is evaluated already."""
        return await evaluated(self.search(query, **options))


def _external_data_key(hit: Hit) -> str:
    return str(hit.external_data_id)


if TYPE_CHECKING:

    class _Manager(ExternalDataQuerySet, models.Manager[Any]):  # type: ignore[misc]
        """What ``from_queryset`` gives."""

else:
    _Manager = models.Manager.from_queryset(ExternalDataQuerySet)


class ExternalDataManager(_Manager):
    """The manager of ``ExternalData``."""
