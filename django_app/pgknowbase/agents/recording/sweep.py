"""Runs whose process died."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status, ToolExecution, WorkflowExecution
from pgknowbase.agents.recording.database import alias
from pgknowbase.conf import get_settings

ERROR = "The process that ran it ended without a word: it was killed or lost its database. Run it again."


@dataclass(kw_only=True)
class Swept:
    """How many were marked as failed, and how many were queued again."""

    failed: int = 0
    queued: int = 0
    workflows: int = 0


def sweep(
    enqueue: Callable[[UUID], str] | None = None, take_up: Callable[[WorkflowExecution], None] | None = None
) -> Swept:
    """Mark runs as failed whose process has been silent for ``DEAD_AFTER`` seconds.

    Those in the background are queued again up to ``MAX_ATTEMPTS`` times, runs by ``enqueue``, workflows by
    ``take_up``. Any process may call this, any number at once.
    """
    using, swept = alias(), Swept()
    silent = timezone.now() - timedelta(seconds=get_settings().agents.dead_after)
    with transaction.atomic(using):
        for execution in _locked(AgentExecution, silent):
            if enqueue is not None and _may_run_again(execution):
                _again(execution, enqueue)
                swept.queued += 1
            else:
                _fail(execution)
                swept.failed += 1
        for workflow in _locked(WorkflowExecution, silent):
            if take_up is not None and workflow.background and workflow.attempts < get_settings().agents.max_attempts:
                take_up(workflow)
                swept.queued += 1
            else:
                _fail(workflow)
                swept.workflows += 1
    return swept


def _locked(model: type[Any], silent: Any) -> Any:
    rows = model.objects.using(alias()).filter(status=Status.RUNNING, heartbeat_at__lt=silent)
    return rows.select_for_update(skip_locked=True).order_by("pk")


def _may_run_again(execution: AgentExecution) -> bool:
    settings = get_settings().agents
    return execution.background and not execution.cancel_requested and execution.attempts < settings.max_attempts


def _again(execution: AgentExecution, enqueue: Callable[[UUID], str]) -> None:
    _end_tools(execution)
    execution.status = Status.PENDING
    execution.heartbeat_at = timezone.now()
    execution.task_id = enqueue(execution.pk)
    execution.save(using=alias(), update_fields=["status", "heartbeat_at", "task_id"])


def _fail(row: Any) -> None:
    if isinstance(row, AgentExecution):
        _end_tools(row)
    row.status, row.error, row.completed_at = Status.FAILED, ERROR, timezone.now()
    row.save(using=alias(), update_fields=["status", "error", "completed_at"])


def _end_tools(execution: AgentExecution) -> None:
    for call in execution.tools.filter(status=ToolExecution.Status.RUNNING):
        call.status, call.error, call.completed_at = ToolExecution.Status.FAILED, ERROR, timezone.now()
        call.save(using=alias(), update_fields=["status", "error", "completed_at"])
