"""``ExternalDataMixin``: what a model inherits to become a source model."""

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from asgiref.sync import sync_to_async
from django.db import models

from pgknowbase.core.keys import object_key
from pgknowbase.core.routing import writer_of
from pgknowbase.models import ExternalData
from pgknowbase.relay.default_document import default_content
from pgknowbase.relay.loading import with_relations
from pgknowbase.relay.rendering import LONGEST_TITLE
from pgknowbase.relay.writing import SyncReport, remove_keys
from pgknowbase.search.filters import SearchFilters, TextSearchOptions
from pgknowbase.search.queryset import SemanticManager, SemanticQuerySet
from pgknowbase.sources.registry import Source, declaration_of, source_of, title_field
from pgknowbase.sync.backfill import sync_model, sync_object
from pgknowbase.sync.waiting import await_indexed, wait_indexed

if TYPE_CHECKING:
    from psycopg.types.range import Range


class ExternalDataMixin(models.Model):
    """Keeps the rows of a model in the index. The model declares ``class ExternalDataMeta`` with ``watch_fields``.

    The hooks ``get_external_*`` and ``should_sync_to_external_data`` may be overridden. The table gets no new column.

    >>> class Article(ExternalDataMixin, models.Model):
    ...     title = models.CharField(max_length=200)
    ...
    ...     class ExternalDataMeta:
    ...         watch_fields = ["title"]
    """

    objects: ClassVar[SemanticManager[Self]] = SemanticManager()

    is_external_source: ClassVar[bool] = True

    if TYPE_CHECKING:
        # On the rows of a search.
        similarity: float
        keyword_score: float | None
        score: float
        matched_chunk: str
        matched_span: Range[int] | None
        pending: bool

    class Meta:
        abstract = True

    # Hooks

    def get_external_content(self) -> str | None:
        """The text to index; None or an empty text keeps the row out of the index. Default: the watched fields."""
        return default_content(self)

    def get_external_title(self) -> str:
        """A title, which is put before each chunk when it is embedded.

        Default: the field ``title``, ``name``, ``headline``, ``subject`` or ``label``, which is then watched, else
        ``str()``.
        """
        if name := title_field(type(self)):
            return str(getattr(self, name) or "")[:LONGEST_TITLE]
        return str(self)[:LONGEST_TITLE] if type(self).__str__ is not models.Model.__str__ else ""

    def get_external_description(self) -> str:
        """A line shown with the object; it is not embedded. Default: empty."""
        return ""

    def get_external_metadata(self) -> dict[str, Any]:
        """A dict of JSON values that searches can filter by. Default: empty."""
        return {}

    def get_external_tags(self) -> list[str]:
        """Tags that searches can filter by. Default: none."""
        return []

    def get_external_language(self) -> str:
        """The text search configuration of the row's words, such as ``'german'``, or '' for ``SEARCH["LANGUAGE"]``.

        Default: ``language`` of ``ExternalDataMeta``, else ''.
        """
        return declaration_of(type(self)).language or ""

    def should_sync_to_external_data(self) -> bool:
        """False keeps the row out of the index, or removes it. Default: True."""
        return True

    @classmethod
    def get_external_queryset(cls) -> models.QuerySet[Self]:
        """The queryset from which the relay loads the rows of a batch.

        Default: every row, with the relations of the watched paths joined or prefetched, so that rendering a batch
        costs a constant number of queries.
        """
        return with_relations(cls._base_manager.all(), source_of(cls).paths)

    # The row in the index

    @property
    def external_source_id(self) -> str:
        """The key under which the index knows this row."""
        return object_key(type(self), self.pk)

    @property
    def external_data(self) -> ExternalData | None:
        """What the index knows of this row, or None."""
        return ExternalData.objects.using(self._state.db).of(self).first()

    @property
    def has_external_data(self) -> bool:
        """Whether the index knows this row."""
        return self.external_data is not None

    @property
    def external_data_status(self) -> str | None:
        """``pending``, ``processing``, ``completed``, ``failed``, or None for a row that the index does not know."""
        found = self.external_data
        return found.status if found else None

    async def aexternal_data(self) -> ExternalData | None:
        """Async twin of ``external_data``."""
        return await sync_to_async(lambda: self.external_data)()

    async def ahas_external_data(self) -> bool:
        """Async twin of ``has_external_data``."""
        return await self.aexternal_data() is not None

    async def aexternal_data_status(self) -> str | None:
        """Async twin of ``external_data_status``."""
        found = await self.aexternal_data()
        return found.status if found else None

    # Synchronising by hand

    def sync_to_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> SyncReport:
        """Bring this row's committed state into the index now, in this process.

        Args:
            wait: embed it too, before returning; otherwise a worker does.
            timeout: seconds for which ``wait`` waits.

        Raises:
            IsolationError: the open transaction may read an old state of the row.
            NotYetIndexedError: with ``wait``, the row is not searchable after ``timeout`` seconds.

        >>> article.sync_to_external_data(wait=True).created
        1
        """
        source, using = self._source_and_alias()
        return sync_object(source, self.external_source_id, using, wait=wait, timeout=timeout)

    def regenerate_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> SyncReport:
        """As ``sync_to_external_data``, but embed every chunk anew, even where its text is the same."""
        source, using = self._source_and_alias()
        return sync_object(source, self.external_source_id, using, force=True, wait=wait, timeout=timeout)

    def remove_from_external_data(self) -> bool:
        """Remove this row from the index until its next change; True if it was there."""
        source, using = self._source_and_alias()
        report = remove_keys(source, source.content_type_id(using), [self.external_source_id], using)
        return report.removed == 1

    def wait_indexed(self, *, timeout: float = 30.0) -> bool:
        """Wait until a worker has made this row's committed state searchable; False where its hooks keep it out.

        Raises:
            NotYetIndexedError: ``timeout`` seconds have passed, or it will never be searchable; the message says why.
        """
        return wait_indexed(self, timeout=timeout)

    def _source_and_alias(self) -> tuple[Source, str]:
        return source_of(type(self)), writer_of(self)

    async def async_to_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> SyncReport:
        """Async twin of ``sync_to_external_data``."""
        return await sync_to_async(self.sync_to_external_data)(wait, timeout=timeout)

    async def aregenerate_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> SyncReport:
        """Async twin of ``regenerate_external_data``."""
        return await sync_to_async(self.regenerate_external_data)(wait, timeout=timeout)

    async def aremove_from_external_data(self) -> bool:
        """Async twin of ``remove_from_external_data``."""
        return await sync_to_async(self.remove_from_external_data)()

    async def await_indexed(self, *, timeout: float = 30.0) -> bool:
        """Async twin of ``wait_indexed``."""
        return await await_indexed(self, timeout=timeout)

    # Search

    def similar(self, limit: int = 10, **options: Unpack[SearchFilters]) -> SemanticQuerySet[Self]:
        """The rows of the same model most similar to this one, which is left out.

        Args:
            limit: the largest number of rows.
            options: as in ``SemanticQuerySet.similar_to``.

        Raises:
            NotIndexedError: this row has no chunks yet; raised on evaluation.
        """
        return rows(type(self)).using(self._state.db).similar_to(self, limit=limit, **options)

    async def asimilar(self, limit: int = 10, **options: Unpack[SearchFilters]) -> SemanticQuerySet[Self]:
        """Async twin of ``similar``; the result is evaluated already."""
        return await rows(type(self)).using(self._state.db).asimilar_to(self, limit=limit, **options)

    @classmethod
    def semantic_search(cls, query: str, **options: Unpack[TextSearchOptions]) -> SemanticQuerySet[Self]:
        """``SemanticQuerySet.semantic_search`` over all rows, for models whose manager does not have it."""
        return rows(cls).semantic_search(query, **options)

    @classmethod
    async def asemantic_search(cls, query: str, **options: Unpack[TextSearchOptions]) -> SemanticQuerySet[Self]:
        """Async twin of ``semantic_search``; the result is evaluated already."""
        return await rows(cls).asemantic_search(query, **options)

    @classmethod
    def keyword_search(cls, query: str, **options: Unpack[TextSearchOptions]) -> SemanticQuerySet[Self]:
        """``SemanticQuerySet.keyword_search`` over all rows."""
        return rows(cls).keyword_search(query, **options)

    @classmethod
    async def akeyword_search(cls, query: str, **options: Unpack[TextSearchOptions]) -> SemanticQuerySet[Self]:
        """Async twin of ``keyword_search``; the result is evaluated already."""
        return await rows(cls).akeyword_search(query, **options)

    @classmethod
    def hybrid_search(
        cls, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> SemanticQuerySet[Self]:
        """``SemanticQuerySet.hybrid_search`` over all rows."""
        return rows(cls).hybrid_search(query, dense_weight=dense_weight, **options)

    @classmethod
    async def ahybrid_search(
        cls, query: str, *, dense_weight: float | None = None, **options: Unpack[TextSearchOptions]
    ) -> SemanticQuerySet[Self]:
        """Async twin of ``hybrid_search``; the result is evaluated already."""
        return await rows(cls).ahybrid_search(query, dense_weight=dense_weight, **options)

    @classmethod
    def with_external_data(cls) -> SemanticQuerySet[Self]:
        """The rows that the index knows."""
        return rows(cls).with_external_data()

    @classmethod
    def without_external_data(cls) -> SemanticQuerySet[Self]:
        """The rows that the index does not know."""
        return rows(cls).without_external_data()

    @classmethod
    def sync_all_external_data(cls, limit: int | None = None, *, force: bool = False) -> SyncReport:
        """Bring the model's rows, at most ``limit``, into the index now; ``force`` embeds every chunk anew."""
        return sync_model(cls, limit=limit, force=force)

    @classmethod
    async def async_all_external_data(cls, limit: int | None = None, *, force: bool = False) -> SyncReport:
        """Async twin of ``sync_all_external_data``."""
        return await sync_to_async(cls.sync_all_external_data)(limit, force=force)


Model = TypeVar("Model", bound=models.Model)


def rows(model: type[Model]) -> SemanticQuerySet[Model]:
    """All rows that the model's default manager gives, as a searchable queryset."""
    found = model._default_manager.all()
    return found if isinstance(found, SemanticQuerySet) else SemanticQuerySet(model, query=found.query)
