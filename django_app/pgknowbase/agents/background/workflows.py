"""Workflows in the queue: begun there, taken up again, and gone on with after an approval."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from pgknowbase.agents.background.queue import active_user, is_queued, on_queue
from pgknowbase.agents.models import ACTIVE, FINAL, AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.values import row_id
from pgknowbase.agents.registry import get_agent
from pgknowbase.conf import get_settings


def run_workflow_in_background(
    pattern: str | None = None,
    agents: Sequence[str] = (),
    *,
    prompt: str,
    workflow: str | None = None,
    deps: Any = None,
    **options: Any,
) -> WorkflowExecution:
    """A workflow for a worker of the queue, PENDING. Row and task belong to the caller's transaction.

    Agents and workflow are those of the registries, by name; ``options`` are ``name``, ``timeout`` and ``concurrency``.
    Of ``deps`` go along ``user_id`` and ``session_data``.

    Raises:
        WorkflowError: the pattern or the workflow is unknown, or there are too few agents.
        UnknownAgentError, NoModelError: an agent is unknown, or has no model.
    """
    # The admin imports this module, also without the extra.
    from pgknowbase.agents.workflow import SimpleOrchestrator

    row: WorkflowExecution = SimpleOrchestrator().planned(
        pattern, agents, workflow=workflow, prompt=prompt, deps=deps, **options
    )
    row.background = True
    with transaction.atomic(alias()):
        row.save(using=alias(), force_insert=True)
        queue_again(row)
    return row


async def arun_workflow_in_background(
    pattern: str | None = None, agents: Sequence[str] = (), *, prompt: str, **options: Any
) -> WorkflowExecution:
    """Async twin of ``run_workflow_in_background``."""
    return await sync_to_async(run_workflow_in_background)(pattern, agents, prompt=prompt, **options)


def retry_workflow(workflow_id: UUID) -> bool:
    """Let a worker take up a workflow that failed, is paused, or whose process died, False if it is none of these.

    Finished steps do not run again. Its agents are those of the registry, and its parts those of a pattern or of a
    workflow defined by name: others only your own code can resume. It is its user's, who must be able to use them.

    Raises:
        UnknownAgentError: an agent is gone, or no longer for this user.
        AgentError: the user is gone or not active.
    """
    using, workflow_id = alias(), row_id("a workflow", workflow_id)
    with transaction.atomic(using):
        stopped = Q(status__in=[Status.FAILED, Status.PENDING]) | Q(status=Status.RUNNING, heartbeat_at__lt=_silent())
        rows = WorkflowExecution.objects.using(using).select_for_update().filter(stopped)
        row = rows.filter(pk=workflow_id).first()
        if row is None or (row.status == Status.PENDING and row.task_id and is_queued(row.task_id)):
            return False
        user = active_user(row)
        for name in dict.fromkeys(row.agents):
            get_agent(name, user=user)
        row.completed_at, row.background, row.attempts = None, True, 0
        row.save(using=using, update_fields=["completed_at", "background", "attempts"])
        queue_again(row)
    return True


def hand_over(workflow_id: UUID) -> None:
    """Let a worker go on with a workflow that your own code began, once no run of it waits.

    Raises:
        AgentError: a worker does not know its parts or its agents.
    """
    from pgknowbase.agents.workflow import SimpleOrchestrator

    using = alias()
    with transaction.atomic(using):
        row = WorkflowExecution.objects.using(using).select_for_update().get(pk=workflow_id)
        if not row.background and row.status in ACTIVE:
            SimpleOrchestrator().check_known(row)
            row.background = True
            row.save(using=using, update_fields=["background"])


def queue_again(row: WorkflowExecution) -> None:
    """A task for one workflow, which waits then."""
    from pgknowbase.agents.background.tasks import take_up

    row.status, row.heartbeat_at = Status.PENDING, timezone.now()
    row.task_id = str(on_queue(take_up).enqueue(str(row.pk)).id)
    row.save(using=alias(), update_fields=["status", "heartbeat_at", "task_id"])


def after_step(execution_id: UUID) -> None:
    """Go on with the workflow in the background that waited for this run; it fails where the run did."""
    using = alias()
    run = AgentExecution.objects.using(using).filter(pk=execution_id, workflow__background=True).first()
    if run is None or run.status not in FINAL:
        return
    with transaction.atomic(using):
        row = _waiting().select_for_update().filter(pk=run.workflow_id).first()
        if row is not None and run.status == Status.COMPLETED:
            queue_again(row)
        elif row is not None:
            row.status, row.completed_at, row.error = Status.FAILED, timezone.now(), f"{run.step}: {run.error}"
            row.save(using=using, update_fields=["status", "completed_at", "error"])


def queue_lost() -> int:
    """Queue workflows in the background that wait although no task stands for them, and no run of theirs waits."""
    using, found = alias(), 0
    with transaction.atomic(using):
        rows = _waiting().filter(heartbeat_at__lt=_silent())
        for row in rows.select_for_update(skip_locked=True).order_by("pk"):
            if is_queued(row.task_id):
                WorkflowExecution.objects.using(using).filter(pk=row.pk).update(heartbeat_at=timezone.now())
                continue
            queue_again(row)
            found += 1
    return found


def _waiting() -> Any:
    active = AgentExecution.objects.using(alias()).filter(workflow=OuterRef("pk"), status__in=ACTIVE)
    rows = WorkflowExecution.objects.using(alias()).filter(background=True, status=Status.PENDING)
    return rows.exclude(Exists(active))


def _silent() -> Any:
    return timezone.now() - timedelta(seconds=get_settings().agents.dead_after)
