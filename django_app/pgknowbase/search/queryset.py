"""Search on source models: ``SemanticQuerySet`` and its manager."""

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import models
from django.db.models.functions import Cast

from pgknowbase.errors import SearchError
from pgknowbase.keys import object_key
from pgknowbase.registry import is_source, source_of
from pgknowbase.search.hits import (
    Filters,
    LikeQuery,
    Query,
    checked_limit,
    checked_threshold,
    text_query,
)
from pgknowbase.search.ranking import Search, by_object_key, ranked
from pgknowbase.search.visibility import EVERYTHING, Viewer, viewer_param

Row = TypeVar("Row", bound=models.Model, covariant=True)


class SemanticQuerySet(models.QuerySet[Row]):
    """A queryset of a source model that can be searched.

    What is chained before a search (filter, exclude, slice, ...) holds inside it; the result is a queryset like any
    other, best first, whose rows carry ``similarity`` (cosine, in [-1, 1]) and ``matched_chunk`` (the text of the best
    chunk). The search runs when the result is first evaluated, once.
    """

    def semantic_search(
        self,
        query: str,
        *,
        limit: int = 10,
        threshold: float | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        visible_to: Viewer = EVERYTHING,
    ) -> Self:
        """The rows nearest in meaning to ``query``, at most ``limit``.

        ``threshold``: least similarity; None means each row's own. ``metadata``: must be contained in the row's.
        ``tags``: the row must have all. ``visible_to``: only what this user may see; an anonymous user or None sees
        public rows, a superuser all; left out, nothing is hidden.

        Raises:
            SearchError: an argument is out of range, at once.
            EmbeddingError: the query cannot be embedded, on evaluation.
        """
        return self._ranked(text_query(query), limit, threshold, metadata, tags, visible_to)

    async def asemantic_search(self, query: str, **options: Any) -> Self:
        """Async twin of ``semantic_search``; the result is evaluated already."""
        return await evaluated(self.semantic_search(query, **options))

    def similar_to(
        self,
        row: models.Model,
        *,
        limit: int = 10,
        threshold: float | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        visible_to: Viewer = EVERYTHING,
    ) -> Self:
        """The rows most like ``row``, which may be of another source model, itself left out; see ``semantic_search``.

        Raises:
            NotIndexedError: ``row`` has no chunks yet, on evaluation.
        """
        if not is_source(type(row)):
            raise SearchError(f"{row!r} is of no source model: pass a row of a model with ExternalDataMixin.")
        using = row._state.db or self.db
        like = LikeQuery(source_of(type(row)).content_type_id(using), object_key=object_key(row.pk))
        return self._ranked(like, limit, threshold, metadata, tags, visible_to)

    async def asimilar_to(self, row: models.Model, **options: Any) -> Self:
        """Async twin of ``similar_to``; the result is evaluated already."""
        return await evaluated(await sync_to_async(self.similar_to)(row, **options))

    def with_external_data(self) -> Self:
        """The rows that the index knows."""
        return self.filter(self._known())

    def without_external_data(self) -> Self:
        """The rows that the index does not know."""
        return self.filter(~self._known())

    def _known(self) -> models.Exists:
        found = apps.get_model("pgknowbase", "ExternalData")._default_manager.filter(
            content_type_id=source_of(self.model).content_type_id(self.db),
            object_key=Cast(models.OuterRef("pk"), models.TextField()),
        )
        return models.Exists(found)

    def _ranked(
        self,
        query: Query,
        limit: int,
        threshold: float | None,
        metadata: dict[str, Any] | None,
        tags: Sequence[str] | None,
        visible_to: Viewer,
    ) -> Self:
        source = source_of(self.model)
        least, viewer = checked_threshold(threshold), viewer_param(visible_to)
        search = Search(
            base=self,
            query=query,
            filters=lambda using: Filters([source.content_type_id(using)], least, viewer, metadata, tags),
            limit=checked_limit(limit),
            key_of=attrgetter("object_key"),
            narrowed=by_object_key,
        )
        return ranked(self, search)


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
