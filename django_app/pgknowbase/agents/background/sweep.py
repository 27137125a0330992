"""The sweep: runs and workflows whose process or task was lost are failed or requeued.

Any process may sweep at any time, and several at once: rows are locked with SKIP LOCKED, so each goes to one of them.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.background.jobs import enqueue_run, requeue_workflow, waiting_workflows
from pgknowbase.agents.background.queue import is_queued
from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, ToolExecution, WorkflowExecution
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.runs.heartbeat import HEARTBEAT_TIMEOUT, stale_before
from pgknowbase.conf import get_settings

LOST_PROCESS = "The process that ran it ended without a result: it was killed or lost its database. Retry the run."

logger = logging.getLogger("pgknowbase.agents")
_last_sweep = 0.0


@dataclass(kw_only=True)
class SweepReport:
    """How many runs were failed, how many runs and workflows were requeued, and how many workflows were failed."""

    failed: int = 0
    queued: int = 0
    workflows: int = 0


def sweep_runs() -> SweepReport:
    """Handle the runs and workflows whose heartbeat is older than ``HEARTBEAT_TIMEOUT``.

    Those in the background are requeued, up to ``AGENTS["MAX_BACKGROUND_ATTEMPTS"]`` times; all others are marked as
    failed. Pending ones whose task was lost with its worker are requeued too.
    """
    report = SweepReport()
    with transaction.atomic(alias()):
        for execution in _stale(AgentExecution):
            if _may_requeue(execution) and not execution.cancel_requested:
                _requeue(execution)
                report.queued += 1
            else:
                _fail(execution)
                report.failed += 1
        for workflow in _stale(WorkflowExecution):
            if _may_requeue(workflow):
                requeue_workflow(workflow)
                report.queued += 1
            else:
                _fail(workflow)
                report.workflows += 1
    report.queued += _requeue_runs_without_task() + _requeue_workflows_without_task()
    return report


def sweep_on_heartbeat(**kwargs: Any) -> None:
    """Sweep, unless this process has swept within half of ``HEARTBEAT_TIMEOUT``. A receiver of heartbeats."""
    global _last_sweep
    now = time.monotonic()
    if now - _last_sweep < HEARTBEAT_TIMEOUT / 2:
        return
    _last_sweep = now
    report = sweep_runs()
    if report.failed or report.queued or report.workflows:
        logger.warning("runs of dead processes: %d failed, %d requeued", report.failed, report.queued)


def _stale(model: type[Any]) -> Any:
    rows = model.objects.using(alias()).filter(status=Status.RUNNING, heartbeat_at__lt=stale_before())
    return rows.select_for_update(skip_locked=True).order_by("pk")


def _may_requeue(row: Any) -> bool:
    return bool(row.background) and row.attempts < get_settings().agents.max_background_attempts


def _requeue(execution: AgentExecution) -> None:
    _fail_running_calls(execution)
    execution.status = Status.PENDING
    execution.heartbeat_at = timezone.now()
    execution.task_id = enqueue_run(execution.pk)
    execution.save(using=alias(), update_fields=["status", "heartbeat_at", "task_id"])


def _fail(row: Any) -> None:
    if isinstance(row, AgentExecution):
        _fail_running_calls(row)
    row.status, row.error, row.completed_at = Status.FAILED, LOST_PROCESS, timezone.now()
    row.save(using=alias(), update_fields=["status", "error", "completed_at"])


def _fail_running_calls(execution: AgentExecution) -> None:
    for call in execution.tools.filter(status=ToolExecution.Status.RUNNING):
        call.status, call.error, call.completed_at = ToolExecution.Status.FAILED, LOST_PROCESS, timezone.now()
        call.save(using=alias(), update_fields=["status", "error", "completed_at"])


def _requeue_runs_without_task() -> int:
    """Requeue pending runs whose task is gone, except those that wait for a person. Returns how many."""
    using, requeued = alias(), 0
    undecided = ApprovalRequest.objects.using(using).filter(status=ApprovalRequest.Status.PENDING)
    waiting = (
        AgentExecution.objects.using(using)
        .filter(background=True, status=Status.PENDING, heartbeat_at__lt=stale_before())
        .exclude(pk__in=undecided.values("execution_id"))
    )
    with transaction.atomic(using):
        for row in waiting.select_for_update(skip_locked=True).order_by("pk"):
            # Renewed also where the task still waits in line, so that it is not looked up again at every sweep.
            row.heartbeat_at = timezone.now()
            if not is_queued(row.task_id):
                row.task_id, requeued = enqueue_run(row.pk), requeued + 1
            row.save(using=using, update_fields=["heartbeat_at", "task_id"])
    return requeued


def _requeue_workflows_without_task() -> int:
    """The same for workflows. Returns how many were requeued."""
    using, requeued = alias(), 0
    with transaction.atomic(using):
        rows = waiting_workflows().filter(heartbeat_at__lt=stale_before())
        for row in rows.select_for_update(skip_locked=True).order_by("pk"):
            if is_queued(row.task_id):
                WorkflowExecution.objects.using(using).filter(pk=row.pk).update(heartbeat_at=timezone.now())
                continue
            requeue_workflow(row)
            requeued += 1
    return requeued
