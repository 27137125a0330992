"""Ending a run from outside."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.agents.recording.database import alias, committed
from pgknowbase.agents.recording.heartbeat import heart


def cancel_execution(execution_id: UUID) -> bool:
    """Cancel a run: one that waits at once, one at work within ``HEARTBEAT_SECONDS``; False if it has ended already."""
    using = alias()

    def write() -> bool:
        with transaction.atomic(using):
            row = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if row is None or row.status not in (Status.PENDING, Status.RUNNING):
                return False
            row.cancel_requested = True
            if row.status == Status.PENDING:
                row.status, row.completed_at, row.error = Status.CANCELLED, timezone.now(), "The run was cancelled."
            row.save(using=using, update_fields=["cancel_requested", "status", "completed_at", "error"])
            return True

    found = committed(write)
    if found:
        heart.cancel(execution_id)
    return found
