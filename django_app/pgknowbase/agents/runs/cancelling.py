"""Cancelling a run or a workflow, from any process."""

from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import ACTIVE, AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.runs.approval_requests import withdraw
from pgknowbase.agents.runs.database import alias, write_durably
from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.agents.runs.json_values import row_id


def cancel_execution(execution_id: UUID) -> bool:
    """Cancel a run. Returns False if it has ended already.

    A pending run and a run of this process are cancelled at once. A run of another process is only marked here; that
    process sees the mark at its next heartbeat.
    """
    using, execution_id = alias(), row_id("a run", execution_id)

    def write() -> bool:
        with transaction.atomic(using):
            row = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if row is None or row.status not in ACTIVE:
                return False
            row.cancel_requested = True
            if row.status == Status.PENDING:
                row.status, row.completed_at, row.error = Status.CANCELLED, timezone.now(), "The run was cancelled."
                withdraw(row)
            row.save(using=using, update_fields=["cancel_requested", "status", "completed_at", "error"])
            return True

    found = write_durably(write)
    if found:
        heartbeat.cancel(execution_id)
    return found


async def acancel_execution(execution_id: UUID) -> bool:
    """Async twin of ``cancel_execution``."""
    return await sync_to_async(cancel_execution)(execution_id)


def cancel_workflow(workflow_id: UUID) -> bool:
    """Cancel a workflow and its runs; no further step starts. Returns False if it has ended already."""
    using, workflow_id = alias(), row_id("a workflow", workflow_id)

    def write() -> bool:
        with transaction.atomic(using):
            row = WorkflowExecution.objects.using(using).select_for_update().filter(pk=workflow_id).first()
            if row is None or row.status not in ACTIVE:
                return False
            row.status, row.completed_at, row.error = Status.CANCELLED, timezone.now(), "The workflow was cancelled."
            row.save(using=using, update_fields=["status", "completed_at", "error"])
            return True

    found = write_durably(write)
    if found:
        runs = AgentExecution.objects.using(using).filter(workflow=workflow_id, status__in=ACTIVE)
        for execution_id in runs.values_list("pk", flat=True):
            cancel_execution(execution_id)
        parts = WorkflowExecution.objects.using(using).filter(parent=workflow_id, status__in=ACTIVE)
        for part in parts.values_list("pk", flat=True):
            cancel_workflow(part)
    return found
