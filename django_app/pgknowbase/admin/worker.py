"""The admin of ``WorkerHeartbeat``: the workers that run."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pgknowbase.admin import display
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.models import WorkerHeartbeat


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    """Shows the workers; each writes its own row, and the others delete it once it is silent."""

    list_display = ("name", "role", "state", "beat_age", "started_at", "events", "documents", "failed")
    list_filter = ("role",)
    ordering = ("started_at",)
    fields = ("name", "role", "state", "beat_age", "beat_at", "started_at", "events", "documents", "failed", "lease")
    readonly_fields = ("name", "state", "beat_age")

    @admin.display(description="worker", ordering="host")
    def name(self, worker: WorkerHeartbeat) -> str:
        """Host and process id."""
        return str(worker)

    @admin.display(description="state", ordering="lease")
    def state(self, worker: WorkerHeartbeat) -> SafeString:
        """Whether it has documents on lease."""
        return display.label("processing", "Embedding") if worker.lease else display.label("idle", "Idle")

    @admin.display(description="last beat", ordering="-beat_at")
    def beat_age(self, worker: WorkerHeartbeat) -> str:
        """How long ago it has beaten."""
        return f"{timesince(worker.beat_at)} ago"
