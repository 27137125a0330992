"""The two tasks that a worker of the queue runs, and putting rows back into the queue."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from pgknowbase.agents.background.queue import enqueue, task_framework
from pgknowbase.agents.models import ACTIVE, FINAL, AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.runs import store
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.workflows import SimpleOrchestrator
from pgknowbase.errors import AgentError, RunError

logger = logging.getLogger("pgknowbase.agents")
task: Callable[[Callable[..., None]], Any] = task_framework().task()


@task
def run_agent(execution_id: str) -> None:
    """Do one pending run. Its result or error is in its row; a row that another process has claimed is left alone.

    The task never fails: a queue that retries failed tasks would repeat a run that was paid for.
    """
    key = UUID(execution_id)
    try:
        name = store.agent_name_of(key)
        if name is None:
            return
        async_to_sync(get_agent(name).resume)(key)
    except RunError as error:  # recorded by the run itself
        logger.warning("%s", error)
    except AgentError as error:  # the run could not start
        logger.warning("%s", error)
        store.fail_pending(key, str(error))
    _requeue_workflow_of(key)


@task
def run_workflow(workflow_id: str) -> None:
    """Start or resume a workflow. Its result or error is in its row."""
    try:
        async_to_sync(SimpleOrchestrator().resume)(UUID(workflow_id))
    except AgentError as error:
        logger.warning("%s", error)


def enqueue_run(execution_id: UUID) -> str:
    """Queue a task for a run, whose row the caller writes; returns the id of the task."""
    return enqueue(run_agent, execution_id)


def requeue_workflow(row: WorkflowExecution) -> None:
    """Set a workflow PENDING and queue a task for it, in the caller's transaction."""
    row.status, row.heartbeat_at = Status.PENDING, timezone.now()
    row.task_id = enqueue(run_workflow, row.pk)
    row.save(using=alias(), update_fields=["status", "heartbeat_at", "task_id"])


def waiting_workflows() -> "QuerySet[WorkflowExecution]":
    """Pending workflows in the background with no active run: nothing but a task can make them continue."""
    active = AgentExecution.objects.using(alias()).filter(workflow=OuterRef("pk"), status__in=ACTIVE)
    rows = WorkflowExecution.objects.using(alias()).filter(background=True, status=Status.PENDING)
    return rows.exclude(Exists(active))


def _requeue_workflow_of(execution_id: UUID) -> None:
    """Requeue the workflow that waited for this run; fail it where the run failed."""
    using = alias()
    run = AgentExecution.objects.using(using).filter(pk=execution_id, workflow__background=True).first()
    if run is None or run.workflow_id is None or run.status not in FINAL:
        return
    with transaction.atomic(using):
        # Locked: of several runs that end together only the last one finds no active run, and it alone requeues.
        row = waiting_workflows().select_for_update().filter(pk=run.workflow_id).first()
        if row is not None and run.status == Status.COMPLETED:
            requeue_workflow(row)
        elif row is not None:
            row.status, row.completed_at, row.error = Status.FAILED, timezone.now(), f"{run.step}: {run.error}"
            row.save(using=using, update_fields=["status", "completed_at", "error"])
