"""The row of one run: begun, ended, paused. Sync; each call is one transaction, committed when it returns."""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from pgknowbase.agents.models import ACTIVE, AgentExecution, ApprovalRequest, Status, ToolExecution
from pgknowbase.agents.outcome import End, Outcome
from pgknowbase.agents.recording.budgets import Left, left, scopes
from pgknowbase.agents.recording.database import alias, committed, saved_while, with_receivers
from pgknowbase.agents.recording.values import LONGEST_ERROR, as_json, as_text

STATUS = {
    End.COMPLETED: Status.COMPLETED,
    End.PAUSED: Status.PENDING,
    End.FAILED: Status.FAILED,
    End.TIMEOUT: Status.FAILED,
    End.CANCELLED: Status.CANCELLED,
}
# What an outcome changes. Others may change the rest of the row meanwhile.
TAKEN = (
    *("status", "model", "output_data", "error", "messages", "execution_time", "cost", "requests"),
    *("input_tokens", "output_tokens", "tokens_used", "heartbeat_at", "completed_at"),
)


@dataclass(kw_only=True)
class Begun:
    """A run that this process does: its row, and what its budgets leave."""

    execution: AgentExecution
    left: Left
    since: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """At work so far."""
        return time.perf_counter() - self.since


def begin(execution: AgentExecution) -> Begun:
    """Write a new row as RUNNING.

    Raises:
        BudgetExceededError: no row is written then.
    """
    using = alias()

    def write() -> Left:
        bounds = scopes(using, execution.agent_name, execution.user_id)
        # The locks of budgets last until the row counts.
        with transaction.atomic(using) if bounds else with_receivers(AgentExecution):
            rest = left(using, bounds)
            _set_running(execution)
            execution.save(using=using, force_insert=True)
            return rest

    return Begun(execution=execution, left=committed(write))


def resume(execution_id: UUID) -> Begun | None:
    """Take a row that waits: PENDING becomes RUNNING; None if it does not wait (any more).

    Raises:
        BudgetExceededError: the row is FAILED then.
    """
    using = alias()

    def write() -> Begun | None:
        with transaction.atomic(using):
            execution = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if execution is None or execution.status != Status.PENDING or _undecided(execution):
                return None
            first = execution.started_at is None
            rest = left(using, scopes(using, execution.agent_name, execution.user_id)) if first else Left()
            _set_running(execution)
            execution.save(using=using, update_fields=["status", "started_at", "heartbeat_at", "attempts"])
            return Begun(execution=execution, left=rest)

    return committed(write)


def end(begun: Begun, outcome: Outcome) -> bool:
    """Write what came of it; False if the row is no longer this process's to end."""
    row = begun.execution
    _take(row, outcome, begun.seconds)
    mine = {"status": Status.RUNNING, "attempts": row.attempts}

    def write() -> bool:
        if outcome.end is not End.PAUSED:
            return saved_while(row, TAKEN, **mine)
        with transaction.atomic(alias()):
            paused = saved_while(row, TAKEN, **mine)
            if paused:
                _ask(row, outcome)
            return paused

    return committed(write)


def _set_running(execution: AgentExecution) -> None:
    now = timezone.now()
    execution.status = Status.RUNNING
    execution.started_at = execution.started_at or now
    execution.heartbeat_at = now
    execution.attempts += 1


def _take(row: AgentExecution, outcome: Outcome, seconds: float) -> None:
    row.status = STATUS[outcome.end]
    row.model = outcome.model or row.model
    row.output_data = as_json(outcome.output)
    row.error = as_text(outcome.error)[:LONGEST_ERROR]
    row.messages = as_json(outcome.messages) or row.messages
    row.execution_time = (row.execution_time or 0) + seconds
    # A run that was paused has more than one outcome.
    row.cost = outcome.cost if not row.requests else _sum(row.cost, outcome)
    row.requests += outcome.requests
    row.input_tokens += outcome.input_tokens
    row.output_tokens += outcome.output_tokens
    row.tokens_used = row.input_tokens + row.output_tokens
    row.heartbeat_at = None
    row.completed_at = None if outcome.end is End.PAUSED else timezone.now()


def _sum(cost: Any, outcome: Outcome) -> Any:
    if not outcome.requests:
        return cost
    return None if cost is None or outcome.cost is None else cost + outcome.cost


def _ask(row: AgentExecution, outcome: Outcome) -> None:
    """One request for each call that waits; a call that pydantic-ai held back has no row of its own yet."""
    using, now = alias(), timezone.now()
    for call in outcome.pending:
        arguments = as_json(call.arguments)
        ApprovalRequest.objects.using(using).create(
            execution=row, tool_name=call.tool_name, tool_call_id=call.tool_call_id, arguments=arguments
        )
        waiting = ToolExecution.objects.using(using).filter(
            execution=row, tool_call_id=call.tool_call_id, status=ToolExecution.Status.WAITING
        )
        if not waiting.exists():
            ToolExecution.objects.using(using).create(
                execution=row,
                tool_name=call.tool_name,
                tool_call_id=call.tool_call_id,
                arguments=arguments,
                status=ToolExecution.Status.WAITING,
                started_at=now,
            )


def _undecided(execution: AgentExecution) -> bool:
    return execution.approvals.filter(status=ApprovalRequest.Status.PENDING).exists()


def of_key(agent_name: str, key: str) -> AgentExecution | None:
    """The run of an agent with that idempotency key that waits, runs or has completed, or was cancelled by a person."""
    runs = AgentExecution.objects.using(alias()).filter(agent_name=agent_name, idempotency_key=key)
    return runs.filter(Q(status__in=[*ACTIVE, Status.COMPLETED]) | Q(cancel_requested=True)).first()


def agent_of(execution_id: UUID) -> str | None:
    """The agent of a run, or None if there is no such run."""
    return AgentExecution.objects.using(alias()).filter(pk=execution_id).values_list("agent_name", flat=True).first()


def refuse(execution_id: UUID, error: str) -> None:
    """A run that waits cannot be begun: it is FAILED."""
    using = alias()

    def write() -> None:
        with transaction.atomic(using):
            row = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if row is not None and row.status == Status.PENDING:
                row.status, row.error, row.completed_at = Status.FAILED, as_text(error), timezone.now()
                row.save(using=using, update_fields=["status", "error", "completed_at"])

    committed(write)
