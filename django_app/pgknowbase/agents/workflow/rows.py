"""The row of one workflow. Sync; each call is one transaction, committed when it returns."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.recording.database import alias, committed
from pgknowbase.agents.recording.values import LONGEST_ERROR, as_json, as_text, prompt_text, row_id, short_text
from pgknowbase.agents.workflow.nodes import Node, count, steps_of
from pgknowbase.conf import get_settings
from pgknowbase.errors import WorkflowError

# What an end changes. Others may change the rest of the row meanwhile.
ENDED = (
    *("status", "final_output", "error", "progress", "total_tokens", "total_cost", "execution_time"),
    *("heartbeat_at", "completed_at"),
)


def new(
    node: Node,
    pattern: str,
    *,
    name: str,
    prompt: str,
    deps: Any = None,
    defined: str = "",
    parts: bool = False,
    timeout: float | None = None,
    concurrency: int | None = None,
) -> WorkflowExecution:
    """A row that is not saved.

    ``defined``: the name under which ``node`` was defined; ``parts``: pattern and agents do not tell what it is.
    """
    return WorkflowExecution(
        workflow_name=short_text("The name of a workflow", name, kind=WorkflowError),
        user_id=getattr(deps, "user_id", None),
        pattern=pattern,
        agents=[step.name for step in steps_of(node)],
        initial_prompt=prompt_text(prompt),
        total_steps=count(node),
        config={
            "timeout": timeout,
            "concurrency": concurrency,
            "defined": defined,
            "parts": parts,
            "session_data": as_json(getattr(deps, "session_data", {})),
        },
    )


def begin(row: WorkflowExecution) -> None:
    """Write a new row as RUNNING."""
    _set_running(row)
    committed(lambda: row.save(using=alias(), force_insert=True))


def take(workflow_id: UUID) -> WorkflowExecution:
    """Take the row of a workflow that stopped before its end, and set it RUNNING again.

    Raises:
        WorkflowError: there is none, it is done, or another process is at it.
    """
    using, workflow_id = alias(), row_id("a workflow", workflow_id, kind=WorkflowError)

    def write() -> WorkflowExecution:
        with transaction.atomic(using):
            row = WorkflowExecution.objects.using(using).select_for_update().filter(pk=workflow_id).first()
            if row is None:
                raise WorkflowError(f"Workflow {workflow_id} does not exist: look it up in orchestrator_status.")
            if row.status in (Status.COMPLETED, Status.CANCELLED):
                raise WorkflowError(
                    f"Workflow {workflow_id} is {row.status.lower()}: begin a new one.", workflow_id=workflow_id
                )
            silent = timezone.now() - timedelta(seconds=get_settings().agents.dead_after)
            if row.status == Status.RUNNING and row.heartbeat_at and row.heartbeat_at > silent:
                raise WorkflowError(f"Workflow {workflow_id} runs: wait for it.", workflow_id=workflow_id)
            _set_running(row)
            row.error = ""
            row.attempts += 1
            row.save(using=using, update_fields=["status", "started_at", "heartbeat_at", "error", "attempts"])
            return row

    return committed(write)


def is_cancelled(row: WorkflowExecution) -> bool:
    """Whether somebody has cancelled it meanwhile."""
    return WorkflowExecution.objects.using(alias()).filter(pk=row.pk, status=Status.CANCELLED).exists()


def note(row: WorkflowExecution, path: str, entry: Mapping[str, Any]) -> None:
    """Keep what came of a step."""
    row.state[path] = as_json(entry)
    row.completed_steps = sum("output" in each for each in row.state.values())
    row.progress = min(100, round(100 * row.completed_steps / max(row.total_steps, 1)))
    fields = ["state", "completed_steps", "progress"]
    committed(lambda: row.save(using=alias(), update_fields=fields))


def end(row: WorkflowExecution, status: Status, *, seconds: float, output: Any = None, error: str = "") -> None:
    """Write what came of it all."""

    def write() -> None:
        ended, said = (Status.CANCELLED, "The workflow was cancelled.") if is_cancelled(row) else (status, error)
        runs = AgentExecution.objects.using(alias()).filter(workflow=row)
        # One price that is not known makes the sum unknown.
        found = runs.aggregate(
            unpriced=Count("pk", filter=Q(cost=None, requests__gt=0)), tokens=Sum("tokens_used"), cost=Sum("cost")
        )
        row.total_tokens, row.total_cost = found["tokens"] or 0, None if found["unpriced"] else found["cost"]
        row.status, row.final_output, row.error = ended, as_json(output), as_text(said)[:LONGEST_ERROR]
        row.execution_time = (row.execution_time or 0) + seconds
        row.heartbeat_at = timezone.now() if ended == Status.PENDING else None
        row.completed_at = None if ended == Status.PENDING else timezone.now()
        if ended == Status.COMPLETED:
            row.progress = 100
        row.save(using=alias(), update_fields=ENDED)

    committed(write)


def _set_running(row: WorkflowExecution) -> None:
    row.status, row.heartbeat_at = Status.RUNNING, timezone.now()
    row.started_at = row.started_at or row.heartbeat_at
