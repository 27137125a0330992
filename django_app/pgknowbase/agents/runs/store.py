"""Rows of one run and its tool calls. Every function here is sync, and its rows are committed when it returns."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from pgknowbase.agents.models import ACTIVE, AgentExecution, Status, ToolExecution
from pgknowbase.agents.receivers import with_notes
from pgknowbase.agents.runs.approval_requests import has_open_requests, request_approvals
from pgknowbase.agents.runs.budgets import RemainingBudget, budgets_of, remaining_budget
from pgknowbase.agents.runs.contract import RunOutcome, RunStatus
from pgknowbase.agents.runs.database import alias, atomic_for_receivers, save_if, write_durably
from pgknowbase.agents.runs.json_values import LONGEST_ERROR, as_json
from pgknowbase.core.text import to_storable
from pgknowbase.costs.calls import UsageKind
from pgknowbase.costs.ledger import record_run

ROW_STATUS = {
    RunStatus.COMPLETED: Status.COMPLETED,
    RunStatus.PAUSED: Status.PENDING,
    RunStatus.FAILED: Status.FAILED,
    RunStatus.TIMEOUT: Status.FAILED,
    RunStatus.CANCELLED: Status.CANCELLED,
}
# The fields that an outcome writes. Others, such as cancel_requested, may be written by other processes meanwhile.
OUTCOME_FIELDS = (
    *("status", "model", "output_data", "error", "messages", "execution_time", "cost", "requests"),
    *("input_tokens", "output_tokens", "tokens_used", "heartbeat_at", "completed_at"),
)
# How the names of the agents of chats begin; pgknowbase.chat stands above this package.
CHAT_AGENTS = "pgknowbase_chat"
CALL_END_FIELDS = ("status", "result", "error", "execution_time", "completed_at")


@dataclass(kw_only=True)
class RunHandle:
    """A run that this process is doing: its row, and what its budgets leave."""

    execution: AgentExecution
    budget: RemainingBudget
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds at work so far."""
        return time.perf_counter() - self.started


def start(execution: AgentExecution) -> RunHandle:
    """Insert a new row as RUNNING.

    Raises:
        BudgetExceededError: a budget is used up; no row is written.
    """
    using = alias()

    def write() -> RemainingBudget:
        budgets = budgets_of(using, execution.agent_name, execution.user_id)
        # remaining_budget() takes locks that must last until this row is committed and counts against the budgets.
        with transaction.atomic(using) if budgets else atomic_for_receivers(AgentExecution):
            budget = remaining_budget(using, budgets)
            _set_running(execution)
            execution.save(using=using, force_insert=True)
            return budget

    return RunHandle(execution=execution, budget=write_durably(write))


def resume(execution_id: UUID) -> RunHandle | None:
    """Claim a pending run: PENDING becomes RUNNING. None if it is not pending, or waits for an approval.

    Raises:
        BudgetExceededError: a budget is used up; the row stays PENDING.
    """
    using = alias()

    def write() -> RunHandle | None:
        with transaction.atomic(using):
            execution = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if execution is None or execution.status != Status.PENDING or has_open_requests(execution):
                return None
            # A run that was paused has passed its budgets: refusing it now would waste what it has cost.
            if execution.started_at is None:
                budget = remaining_budget(using, budgets_of(using, execution.agent_name, execution.user_id))
            else:
                budget = RemainingBudget()
            _set_running(execution)
            execution.save(using=using, update_fields=["status", "started_at", "heartbeat_at", "attempts"])
            return RunHandle(execution=execution, budget=budget)

    return write_durably(write)


def finish(run: RunHandle, outcome: RunOutcome) -> bool:
    """Write the outcome. False if the row is no longer this process's: a sweep has failed or requeued it."""
    row = run.execution
    _apply(row, outcome, run.seconds)
    # `attempts` changes whenever a process claims the row, so it tells this claim from a later one.
    own_claim = {"status": Status.RUNNING, "attempts": row.attempts}

    def write() -> bool:
        # Before the row: it was paid for even if the row is not this process's any more.
        _record_usage(row, outcome, run.seconds)
        if outcome.status is not RunStatus.PAUSED:
            return save_if(row, OUTCOME_FIELDS, **own_claim)
        with transaction.atomic(alias()):
            paused = save_if(row, OUTCOME_FIELDS, **own_claim)
            if paused:
                request_approvals(row, outcome.pending)
            return paused

    return write_durably(write)


def fail_pending(execution_id: UUID, error: str) -> None:
    """Mark a pending run as FAILED because it cannot start; a run in any other status is left alone."""
    using = alias()

    def write() -> None:
        with transaction.atomic(using):
            row = AgentExecution.objects.using(using).select_for_update().filter(pk=execution_id).first()
            if row is not None and row.status == Status.PENDING:
                row.status, row.error, row.completed_at = Status.FAILED, to_storable(error), timezone.now()
                row.save(using=using, update_fields=["status", "error", "completed_at"])

    write_durably(write)


def find_by_key(agent_name: str, key: str) -> AgentExecution | None:
    """The run of an agent with that idempotency key that is active, has completed, or was cancelled by a person.

    Failed runs do not count: they may be repeated with the same key.
    """
    runs = AgentExecution.objects.using(alias()).filter(agent_name=agent_name, idempotency_key=key)
    return runs.filter(Q(status__in=[*ACTIVE, Status.COMPLETED]) | Q(cancel_requested=True)).first()


def agent_name_of(execution_id: UUID) -> str | None:
    """The name of a run's agent, or None if there is no such run."""
    return AgentExecution.objects.using(alias()).filter(pk=execution_id).values_list("agent_name", flat=True).first()


class RowJournal:
    """Records the tool calls of one run as ``ToolExecution`` rows; implements ``Journal``."""

    def __init__(self, execution_id: UUID) -> None:
        self.execution_id = execution_id
        self._running: dict[int, tuple[ToolExecution, float]] = {}

    async def tool_started(self, name: str, call_id: str, arguments: Any) -> int:
        """Insert the row of a call that is about to run; returns its key."""
        call = await sync_to_async(self._start)(name, call_id, as_json(arguments))
        self._running[call.pk] = call, time.perf_counter()
        return int(call.pk)

    async def tool_ended(self, key: int, status: str, *, result: Any = None, error: str = "") -> None:
        """Write how the call ended."""
        await sync_to_async(self._end)(key, status, as_json(result), to_storable(error)[:LONGEST_ERROR])

    def _start(self, name: str, call_id: str, arguments: Any) -> ToolExecution:
        call = ToolExecution(
            execution_id=self.execution_id,
            tool_name=name,
            tool_call_id=call_id,
            arguments=arguments,
            started_at=timezone.now(),
        )

        def write() -> None:
            with atomic_for_receivers(ToolExecution):
                call.save(using=alias(), force_insert=True)

        write_durably(write)
        return call

    def _end(self, key: int, status: str, result: Any, error: str) -> None:
        call, started = self._running.pop(key)
        call.status, call.result = ToolExecution.Status(status), result
        call.error = with_notes(error, call.error)
        call.execution_time, call.completed_at = time.perf_counter() - started, timezone.now()
        # A sweep that took this process for dead has ended the call already; its verdict stays.
        write_durably(lambda: save_if(call, CALL_END_FIELDS, status=ToolExecution.Status.RUNNING))


def _set_running(execution: AgentExecution) -> None:
    now = timezone.now()
    execution.status = Status.RUNNING
    execution.started_at = execution.started_at or now
    execution.heartbeat_at = now
    execution.attempts += 1


def _apply(row: AgentExecution, outcome: RunOutcome, seconds: float) -> None:
    """Set the outcome on the row. Figures are added up, because a run that was paused has several outcomes."""
    row.status = ROW_STATUS[outcome.status]
    row.model = outcome.model or row.model
    row.output_data = as_json(outcome.output)
    row.error = with_notes(to_storable(outcome.error)[:LONGEST_ERROR], row.error)
    row.messages = as_json(outcome.messages) or row.messages
    row.execution_time = (row.execution_time or 0) + seconds
    row.cost = outcome.cost if not row.requests else _total_cost(row.cost, outcome)
    row.requests += outcome.requests
    row.input_tokens += outcome.input_tokens
    row.output_tokens += outcome.output_tokens
    row.tokens_used = row.input_tokens + row.output_tokens
    row.heartbeat_at = None
    row.completed_at = None if outcome.status is RunStatus.PAUSED else timezone.now()


def _record_usage(row: AgentExecution, outcome: RunOutcome, seconds: float) -> None:
    record_run(
        alias(),
        kind=UsageKind.CHAT if row.agent_name.startswith(CHAT_AGENTS) else UsageKind.AGENT,
        model=outcome.model or row.model,
        user_id=row.user_id,
        calls=outcome.requests,
        failed=outcome.status in (RunStatus.FAILED, RunStatus.TIMEOUT),
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        cost=outcome.cost,
        seconds=seconds,
    )


def _total_cost(cost: Decimal | None, outcome: RunOutcome) -> Decimal | None:
    """The sum, or None if either part is unknown: an unknown price must not count as 0."""
    if not outcome.requests:
        return cost
    return None if cost is None or outcome.cost is None else cost + outcome.cost
