"""The admin of ``EmbeddingSpace``: which spaces there are, which is active, and how much waits for each."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString

from pgknowbase import gateway
from pgknowbase.admin import display
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.models import Chunk, EmbeddingSpace

COUNTED = 10_000


def queue_lengths(using: str) -> dict[int, int]:
    """By space, how many documents wait in its queue."""
    rows: list[Any] = gateway.fetch(using, gateway.QUEUES)
    return dict(rows)


class QueueChangeList(ChangeList):
    """Brings the queue length of every space in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: Any = self.result_list
        queues = queue_lengths(rows.db)
        for space in rows:
            space.queue_length = queues.get(space.pk)


@admin.register(EmbeddingSpace)
class EmbeddingSpaceAdmin(ReadOnlyAdmin):
    """Shows the embedding spaces; ``manage.py pgknowbase_space`` changes them."""

    list_display = ("name", "state", "model", "dimensions", "backend", "chunk_size", "queue", "created_at")
    ordering = ("-is_active", "pk")
    fields = (
        "name", "state", "backend", "model", "dimensions", "chunk_size", "chunk_overlap", "template_column",
        "queue", "chunks", "vectorizer_id", "store_schema", "store_table", "created_at",
    )  # fmt: skip
    readonly_fields = ("state", "template_column", "queue", "chunks")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return QueueChangeList

    @admin.display(description="state", ordering="is_active")
    def state(self, space: EmbeddingSpace) -> SafeString:
        """Whether search reads the space."""
        return display.label("completed", "Active") if space.is_active else display.label("idle", "Not active")

    @admin.display(description="template")
    def template_column(self, space: EmbeddingSpace) -> SafeString | str:
        """What is embedded for each chunk."""
        return display.preformatted(space.template)

    @admin.display(description="documents in the queue")
    def queue(self, space: EmbeddingSpace) -> str:
        """How many documents wait for the vectorizer; pgai counts no further than 10,000."""
        if not hasattr(space, "queue_length"):
            return _written(queue_lengths(_using(space)).get(space.pk))
        return _written(space.queue_length)

    @admin.display(description="chunks")
    def chunks(self, space: EmbeddingSpace) -> str:
        """How many chunks the store holds: counted up to 10,000, estimated beyond."""
        using = _using(space)
        if space.is_active:
            counted = Chunk.objects.using(using).order_by()[: COUNTED + 1].count()
            if counted <= COUNTED:
                return f"{counted:,}"
        estimate = gateway.fetch_value(using, gateway.STORE_ESTIMATE, space.store_schema, space.store_table)
        if estimate is None or estimate < 0:
            return "not counted yet"
        return f"about {max(estimate, COUNTED if space.is_active else 0):,}"


def _written(length: int | None) -> str:
    if length is None:
        return display.EMPTY
    return f"{length:,}" if length <= COUNTED else f"more than {COUNTED:,}"


def _using(space: EmbeddingSpace) -> str:
    return space._state.db or "default"
