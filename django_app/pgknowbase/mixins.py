"""``ExternalDataMixin``: what a model inherits to become a source model."""

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from asgiref.sync import sync_to_async
from django.db import models

from pgknowbase.keys import object_key
from pgknowbase.search.options import SearchFilters, TextSearchOptions
from pgknowbase.search.queryset import SemanticManager, SemanticQuerySet

if TYPE_CHECKING:
    from psycopg.types.range import Range

    from pgknowbase.models import ExternalData
    from pgknowbase.relay.sync import SyncReport

TITLE_FIELDS = ("title", "name", "headline", "subject", "label")


class ExternalDataMixin(models.Model):
    """Keeps the rows of a model in the index. Declare ``class ExternalDataMeta`` with ``watch_fields``.

    The hooks ``get_external_*`` and ``should_sync_to_external_data`` may be overridden. The table gets no new column.
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
        """The text to index; None or an empty text means "not in the index". Default: the watched fields."""
        from pgknowbase.relay.content import default_content

        return default_content(self)

    def get_external_title(self) -> str:
        """A title, put before each chunk when it is embedded. Default: the field title, name or the like, or str()."""
        from pgknowbase.relay.render import LONGEST_TITLE

        if name := _title_field(type(self)):
            return str(getattr(self, name) or "")[:LONGEST_TITLE]
        return str(self)[:LONGEST_TITLE] if type(self).__str__ is not models.Model.__str__ else ""

    def get_external_description(self) -> str:
        """A line for people; it is not embedded. Default: empty."""
        return ""

    def get_external_metadata(self) -> dict[str, Any]:
        """JSON that searches can filter by. Default: empty."""
        return {}

    def get_external_tags(self) -> list[str]:
        """Words that searches can filter by. Default: none."""
        return []

    def get_external_language(self) -> str:
        """The text search configuration of the row's words, such as 'german'; '': as SEARCH["LANGUAGE"] says.

        Default: ``language`` of ``ExternalDataMeta``, else ''.
        """
        from pgknowbase.registry import source_of

        return source_of(type(self)).config.language or ""

    def should_sync_to_external_data(self) -> bool:
        """False keeps the row out of the index, or takes it out. Default: True."""
        return True

    @classmethod
    def get_external_queryset(cls) -> models.QuerySet[Self]:
        """How the relay loads rows in bulk. Default: every row, with the relations of the watched paths."""
        from pgknowbase.registry import source_of
        from pgknowbase.relay.loading import with_relations

        return with_relations(cls._base_manager.all(), source_of(cls).paths)

    # The row in the index

    @property
    def external_source_id(self) -> str:
        """The key under which the index knows this row."""
        return object_key(self.pk)

    @property
    def external_data(self) -> "ExternalData | None":
        """What the index knows of this row, or None."""
        from pgknowbase.models import ExternalData

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

    async def aexternal_data(self) -> "ExternalData | None":
        """Async twin of ``external_data``."""
        return await sync_to_async(lambda: self.external_data)()

    async def ahas_external_data(self) -> bool:
        """Async twin of ``has_external_data``."""
        return await self.aexternal_data() is not None

    async def aexternal_data_status(self) -> str | None:
        """Async twin of ``external_data_status``."""
        found = await self.aexternal_data()
        return found.status if found else None

    # By hand

    def sync_to_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> "SyncReport":
        """Bring this row's committed state into the index now.

        With ``wait``, embed it too before returning; after ``timeout`` seconds that is a ``NotYetIndexedError``.
        """
        from pgknowbase.relay.backfill import sync_instance

        return sync_instance(self, wait=wait, timeout=timeout)

    def regenerate_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> "SyncReport":
        """As ``sync_to_external_data``, and embed every chunk anew even where its text is the same."""
        from pgknowbase.relay.backfill import sync_instance

        return sync_instance(self, force=True, wait=wait, timeout=timeout)

    def remove_from_external_data(self) -> bool:
        """Take this row out of the index until its next change; True if it was there."""
        from pgknowbase.relay.backfill import remove_instance

        return remove_instance(self)

    def wait_indexed(self, *, timeout: float = 30.0) -> bool:
        """Wait until a worker has made this row's committed state searchable; False: its hooks keep it out.

        Raises:
            NotYetIndexedError: it took more than ``timeout`` seconds, or will never be; the message says why.
        """
        from pgknowbase.relay.waiting import wait_indexed

        return wait_indexed(self, timeout=timeout)

    async def async_to_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> "SyncReport":
        """Async twin of ``sync_to_external_data``."""
        return await sync_to_async(self.sync_to_external_data)(wait, timeout=timeout)

    async def aregenerate_external_data(self, wait: bool = False, *, timeout: float = 30.0) -> "SyncReport":
        """Async twin of ``regenerate_external_data``."""
        return await sync_to_async(self.regenerate_external_data)(wait, timeout=timeout)

    async def aremove_from_external_data(self) -> bool:
        """Async twin of ``remove_from_external_data``."""
        return await sync_to_async(self.remove_from_external_data)()

    async def await_indexed(self, *, timeout: float = 30.0) -> bool:
        """Async twin of ``wait_indexed``."""
        from pgknowbase.relay.waiting import await_indexed

        return await await_indexed(self, timeout=timeout)

    # Search

    def similar(self, limit: int = 10, **options: Unpack[SearchFilters]) -> SemanticQuerySet[Self]:
        """Rows of the same model most like this one, itself left out; options as ``SemanticQuerySet.similar_to``."""
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
    def sync_all_external_data(cls, limit: int | None = None, *, force: bool = False) -> "SyncReport":
        """Bring the model's rows, at most ``limit``, into the index now; ``force`` embeds every chunk anew."""
        from pgknowbase.relay.backfill import sync_model

        return sync_model(cls, limit=limit, force=force)

    @classmethod
    async def async_all_external_data(cls, limit: int | None = None, *, force: bool = False) -> "SyncReport":
        """Async twin of ``sync_all_external_data``."""
        return await sync_to_async(cls.sync_all_external_data)(limit, force=force)


@cache
def _title_field(model: type[models.Model]) -> str:
    names = {field.name for field in model._meta.concrete_fields}
    return next((name for name in TITLE_FIELDS if name in names), "")


Model = TypeVar("Model", bound=models.Model)


def rows(model: type[Model]) -> SemanticQuerySet[Model]:
    """All rows that the model's default manager gives, as a searchable queryset."""
    found = model._default_manager.all()
    return found if isinstance(found, SemanticQuerySet) else SemanticQuerySet(model, query=found.query)
