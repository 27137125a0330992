"""The sweep of runs, with those of the background queued again."""

import logging
import time
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.background.queue import enqueue, is_queued
from pgknowbase.agents.background.workflows import queue_again, queue_lost
from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.sweep import Swept, sweep
from pgknowbase.conf import get_settings

logger = logging.getLogger("pgknowbase.agents")
_last = 0.0


def sweep_runs() -> Swept:
    """Runs of dead processes are failed or queued again; so are runs whose task was lost with its worker."""
    swept = sweep(enqueue, queue_again)
    swept.queued += _lost() + queue_lost()
    return swept


def sweep_sometimes(**kwargs: Any) -> None:
    """Sweep, if this process has not done so for half of ``DEAD_AFTER``; a receiver of the worker's heartbeat."""
    global _last
    now = time.monotonic()
    if now - _last < get_settings().agents.dead_after / 2:
        return
    _last = now
    swept = sweep_runs()
    if swept.failed or swept.queued or swept.workflows:
        logger.warning("runs of dead processes: %d failed, %d queued again", swept.failed, swept.queued)


def _lost() -> int:
    """Runs that wait for a worker although no task stands for them any more."""
    using, found = alias(), 0
    silent = timezone.now() - timedelta(seconds=get_settings().agents.dead_after)
    undecided = ApprovalRequest.objects.using(using).filter(status=ApprovalRequest.Status.PENDING)
    waiting = (
        AgentExecution.objects.using(using)
        .filter(background=True, status=Status.PENDING, heartbeat_at__lt=silent)
        .exclude(pk__in=undecided.values("execution_id"))
    )
    with transaction.atomic(using):
        for row in waiting.select_for_update(skip_locked=True).order_by("pk"):
            row.heartbeat_at = timezone.now()
            if not is_queued(row.task_id):
                row.task_id, found = enqueue(row.pk), found + 1
            row.save(using=using, update_fields=["heartbeat_at", "task_id"])
    return found
