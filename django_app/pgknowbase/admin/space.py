"""The admin of embedding spaces, and of the recall that was measured in them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.errors import ServerDownError
from pgknowbase.models import Chunk, EmbeddingSpace, RecallMeasurement

COUNTED = 10_000


def queue_lengths(using: str) -> dict[int, int]:
    """By space, how many documents wait in its queue."""
    rows: list[Any] = gateway.fetch(using, "queue_lengths")
    return dict(rows)


class QueueChangeList(ChangeList):
    """Brings the queue length of every space in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: Any = self.result_list
        # One query for all spaces instead of one for each row.
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
            try:
                counted = Chunk.objects.using(using).order_by()[: COUNTED + 1].count()
            except ServerDownError as error:
                return str(error)
            if counted <= COUNTED:
                return f"{counted:,}"
        # pg_class.reltuples: counting a store of millions of chunks takes seconds.
        estimate = gateway.fetch_value(using, "store_rows_estimate", schema=space.store_schema, table=space.store_table)
        if estimate is None or estimate < 0:
            return "not counted yet"
        return f"about {max(estimate, COUNTED if space.is_active else 0):,}"


def _written(length: int | None) -> str:
    if length is None:
        return display.EMPTY
    return f"{length:,}" if length <= COUNTED else f"more than {COUNTED:,}"


def _using(space: EmbeddingSpace) -> str:
    return space._state.db or get_settings().database


@admin.register(RecallMeasurement)
class RecallMeasurementAdmin(ReadOnlyAdmin):
    """Shows the measurements, the latest first."""

    list_display = ("measured_at", "space", "model", "filter", "share", "ef_search", "percentage", "median", "needed")
    list_filter = ("space", "model")
    fields = (
        "measured_at", "space", "model", "filter", "selectivity", "passing", "queries", "max_hits", "ef_search",
        "recall", "milliseconds", "exact_milliseconds", "target", "needed",
    )  # fmt: skip

    @admin.display(description="passes", ordering="selectivity")
    def share(self, measured: RecallMeasurement) -> str:
        """The share of the objects that pass the filter."""
        return f"{100 * measured.selectivity:.3g} %"

    @admin.display(description="recall", ordering="recall")
    def percentage(self, measured: RecallMeasurement) -> str:
        """The mean over the queries."""
        return f"{100 * measured.recall:.2f} %"

    @admin.display(description="ms", ordering="milliseconds")
    def median(self, measured: RecallMeasurement) -> str:
        """The median of a search, beside that of an exact one."""
        return f"{measured.milliseconds:.1f} (exact {measured.exact_milliseconds:.1f})"
