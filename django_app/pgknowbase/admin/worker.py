"""The admin of ``WorkerHeartbeat`` and ``RenderCost``: the workers that run, and what rendering costs them."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pgknowbase.admin import display
from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.models import RenderCost, WorkerHeartbeat


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    """Shows the workers; each writes its own row, and the others delete it once it is silent."""

    list_display = ("name", "role", "state", "heartbeat_age", "started_at", "events", "documents", "failed")
    list_filter = ("role",)
    ordering = ("started_at",)
    fields = (
        "name",
        "role",
        "state",
        "heartbeat_age",
        "beat_at",
        "started_at",
        "events",
        "documents",
        "failed",
        "lease",
    )
    readonly_fields = ("name", "state", "heartbeat_age")

    @admin.display(description="worker", ordering="host")
    def name(self, worker: WorkerHeartbeat) -> str:
        """Host and process id."""
        return str(worker)

    @admin.display(description="state", ordering="lease")
    def state(self, worker: WorkerHeartbeat) -> SafeString:
        """Whether it has documents on lease."""
        return display.label("processing", "Embedding") if worker.lease else display.label("idle", "Idle")

    @admin.display(description="last heartbeat", ordering="-beat_at")
    def heartbeat_age(self, worker: WorkerHeartbeat) -> str:
        """The time since its last heartbeat."""
        return f"{timesince(worker.beat_at)} ago"


@admin.register(RenderCost)
class RenderCostAdmin(ReadOnlyAdmin):
    """Shows what rendering a row costs, per source model."""

    list_display = (
        "source",
        "rows",
        "milliseconds",
        "statements_per_row",
        "slowest_hook",
        "querying_hook",
        "updated_at",
    )
    fields = (*list_display, "slowest_share", "querying_statements", "unwatched")
    readonly_fields = ("milliseconds", "statements_per_row")
    ordering = ("source",)

    @admin.display(description="ms per row")
    def milliseconds(self, cost: RenderCost) -> str:
        """The time of all hooks and of loading."""
        return f"{1000 * cost.seconds / cost.rows:.3f}" if cost.rows else display.EMPTY

    @admin.display(description="statements per row")
    def statements_per_row(self, cost: RenderCost) -> str:
        """Those of hooks and of loading."""
        return f"{cost.statements / cost.rows:.2f}" if cost.rows else display.EMPTY
