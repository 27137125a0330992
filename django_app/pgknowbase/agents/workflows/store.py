"""The row of one workflow. Every function here is sync, and its rows are committed when it returns."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.receivers import with_notes
from pgknowbase.agents.runs.database import alias, write_durably
from pgknowbase.agents.runs.heartbeat import stale_before
from pgknowbase.agents.runs.json_values import LONGEST_ERROR, as_json, prompt_text, row_id, short_text
from pgknowbase.agents.workflows.nodes import Node, count_steps, steps_of
from pgknowbase.core.text import to_storable
from pgknowbase.errors import WorkflowError

# The fields that the end writes. Other processes may write the rest of the row meanwhile.
END_FIELDS = (
    *("status", "final_output", "error", "progress", "total_tokens", "total_cost", "execution_time"),
    *("heartbeat_at", "completed_at"),
)


# The keys of ``config`` that are not the caller's.
OWN_KEYS = frozenset(("timeout", "concurrency", "defined", "parts", "session_data"))


def own_config(row: WorkflowExecution) -> dict[str, Any]:
    """What the caller has put into the ``config`` of a workflow."""
    return {key: value for key, value in row.config.items() if key not in OWN_KEYS}


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
    idempotency_key: str = "",
    config: Mapping[str, Any] | None = None,
) -> WorkflowExecution:
    """An unsaved row.

    Args:
        node: the workflow.
        pattern: the kind of its outermost part.
        name: for users; it is shown in the admin and in errors.
        defined: the name under which the workflow is defined, from which a worker can find it again.
        parts: whether pattern and agents alone cannot tell what it is, so that ``resume`` needs the workflow itself.
        timeout: seconds of the whole.
        concurrency: how many runs at once, or None for the setting.
        idempotency_key: at most one workflow has it, whatever its status.
        config: JSON of the caller's own, which the row keeps as part of its ``config``.

    Raises:
        WorkflowError: ``config`` has a key of the workflow's own.
    """
    if taken := sorted(OWN_KEYS & (config or {}).keys()):
        raise WorkflowError(f"config has the key {taken[0]!r}, which the workflow itself uses: choose another name.")
    return WorkflowExecution(
        workflow_name=short_text("The name of a workflow", name, kind=WorkflowError),
        user_id=getattr(deps, "user_id", None),
        pattern=pattern,
        agents=[step.name for step in steps_of(node)],
        initial_prompt=prompt_text(prompt),
        total_steps=count_steps(node),
        idempotency_key=short_text("The idempotency_key", idempotency_key, kind=WorkflowError),
        config={
            **as_json(dict(config or {})),
            "timeout": timeout,
            "concurrency": concurrency,
            "defined": defined,
            "parts": parts,
            "session_data": as_json(getattr(deps, "session_data", {})),
        },
    )


def start(row: WorkflowExecution) -> None:
    """Write a new row as RUNNING."""
    _set_running(row)
    write_durably(lambda: row.save(using=alias(), force_insert=True))


def resume(workflow_id: UUID) -> WorkflowExecution:
    """Claim the row of a workflow that stopped before its end: it becomes RUNNING.

    Raises:
        WorkflowError: there is none, it has ended, or another process is running it.
    """
    using, workflow_id = alias(), row_id("a workflow", workflow_id, kind=WorkflowError)

    def write() -> WorkflowExecution:
        with transaction.atomic(using):
            row = WorkflowExecution.objects.using(using).select_for_update().filter(pk=workflow_id).first()
            if row is None:
                raise WorkflowError(f"Workflow {workflow_id} does not exist: look it up in orchestrator_status.")
            if row.status in (Status.COMPLETED, Status.CANCELLED):
                raise WorkflowError(
                    f"Workflow {workflow_id} is {row.status.lower()}: start a new one.", workflow_id=workflow_id
                )
            if row.status == Status.RUNNING and row.heartbeat_at and row.heartbeat_at > stale_before():
                raise WorkflowError(f"Workflow {workflow_id} is running: wait for it.", workflow_id=workflow_id)
            _set_running(row)
            row.error = ""
            row.attempts += 1
            row.save(using=using, update_fields=["status", "started_at", "heartbeat_at", "error", "attempts"])
            return row

    return write_durably(write)


def is_cancelled(row: WorkflowExecution) -> bool:
    """Whether it was cancelled meanwhile, perhaps by another process."""
    return WorkflowExecution.objects.using(alias()).filter(pk=row.pk, status=Status.CANCELLED).exists()


def record_step(row: WorkflowExecution, path: str, entry: Mapping[str, Any]) -> None:
    """Record the result of a step, so that a workflow that resumes does not repeat it."""
    row.state[path] = as_json(entry)
    row.completed_steps = sum("output" in each for each in row.state.values())
    row.progress = min(100, round(100 * row.completed_steps / max(row.total_steps, 1)))
    fields = ["state", "completed_steps", "progress"]
    write_durably(lambda: row.save(using=alias(), update_fields=fields))


def finish(row: WorkflowExecution, status: Status, *, seconds: float, output: Any = None, error: str = "") -> None:
    """Write the end of this attempt: the output, or the error, and the totals of all runs."""

    def write() -> None:
        final, message = (Status.CANCELLED, "The workflow was cancelled.") if is_cancelled(row) else (status, error)
        runs = AgentExecution.objects.using(alias()).filter(workflow=row)
        # One unknown price makes the sum unknown: a part of the cost would pass for the whole.
        found = runs.aggregate(
            unpriced=Count("pk", filter=Q(cost=None, requests__gt=0)), tokens=Sum("tokens_used"), cost=Sum("cost")
        )
        row.total_tokens, row.total_cost = found["tokens"] or 0, None if found["unpriced"] else found["cost"]
        row.status, row.final_output = final, as_json(output)
        row.error = with_notes(to_storable(message)[:LONGEST_ERROR], row.error)
        row.execution_time = (row.execution_time or 0) + seconds
        row.heartbeat_at = timezone.now() if final == Status.PENDING else None
        row.completed_at = None if final == Status.PENDING else timezone.now()
        if final == Status.COMPLETED:
            row.progress = 100
        row.save(using=alias(), update_fields=END_FIELDS)

    write_durably(write)


def _set_running(row: WorkflowExecution) -> None:
    row.status, row.heartbeat_at = Status.RUNNING, timezone.now()
    row.started_at = row.started_at or row.heartbeat_at
