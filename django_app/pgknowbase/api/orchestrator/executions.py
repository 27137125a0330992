"""Routes of runs: seen, cancelled, run again."""

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Query
from ninja.responses import Status

from pgknowbase.agents.background import run_again
from pgknowbase.agents.models import FINAL, AgentExecution
from pgknowbase.agents.recording.cancel import cancel_execution
from pgknowbase.api.callers import Caller
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.orchestrator.agents import check_budgets
from pgknowbase.api.orchestrator.answers import detail_of, summary_of
from pgknowbase.api.orchestrator.base import own_or_granted, paged, router, signed_in, visible
from pgknowbase.api.orchestrator.shapes import ExecutionDetail, ExecutionFilter, ExecutionPage, ExecutionSummary
from pgknowbase.api.parameters import check_names
from pgknowbase.api.problems import Problem
from pgknowbase.errors import NotFoundError

Row = TypeVar("Row", bound=Model)


@router.get("executions/", response=ExecutionPage, operation_id="listExecutions")
def list_executions(request: HttpRequest, asked: Query[ExecutionFilter]) -> ExecutionPage:
    """The caller's runs, or with the permission to view them all runs; the latest first."""
    check_names(request, ExecutionFilter)
    rows = narrowed(visible(AgentExecution, signed_in(request)), asked)
    if asked.agent is not None:
        rows = rows.filter(agent_name=asked.agent)
    found, more = paged(rows.defer("messages", "output_data"), asked)
    return ExecutionPage(results=[summary_of(row) for row in found], next_offset=more)


@router.get("executions/{execution_id}/", response=ExecutionDetail, operation_id="execution", url_name="execution")
def execution(request: HttpRequest, execution_id: UUID) -> ExecutionDetail:
    """One run, with the tools that it called and what it waits for."""
    return detail_of(_visible(signed_in(request), execution_id))


@router.post("executions/{execution_id}/cancel/", response={202: ExecutionSummary}, operation_id="cancelExecution")
def cancel(request: HttpRequest, execution_id: UUID) -> Any:
    """Cancel a run: one that waits at once, one that is at work within some seconds."""
    row = _changeable(signed_in(request), execution_id)
    if not cancel_execution(row.pk):
        raise Problem(409, "ended", f"The run {row.pk} is {row.status.lower()} already: there is nothing to cancel.")
    row.refresh_from_db()
    return Status(202, summary_of(row))


@router.post("executions/{execution_id}/retry/", response={202: ExecutionSummary}, operation_id="retryExecution")
@idempotent
def retry(request: HttpRequest, execution_id: UUID) -> Any:
    """A new run in the background of what this one was asked, for the same user. Heeds Idempotency-Key."""
    row = _changeable(signed_in(request), execution_id)
    if row.status not in FINAL:
        raise Problem(409, "at-work", f"The run {row.pk} is {row.status.lower()}: cancel it or wait for its end.")
    check_budgets(row.agent_name, row.user_id)
    return Status(202, summary_of(run_again(row)))


def narrowed(rows: QuerySet[Row], asked: Any) -> QuerySet[Row]:
    """Rows with that status and of that time."""
    conditions = {
        "status": asked.status,
        "created_at__gte": asked.created_from,
        "created_at__lt": asked.created_before,
    }
    return rows.filter(**{name: value for name, value in conditions.items() if value is not None})


def _visible(caller: Caller, execution_id: UUID) -> AgentExecution:
    row = visible(AgentExecution, caller).filter(pk=execution_id).first()
    if row is None:
        raise NotFoundError(f"There is no execution {execution_id} that you may see: look it up in the list.")
    return row


def _changeable(caller: Caller, execution_id: UUID) -> AgentExecution:
    run: AgentExecution = own_or_granted(caller, _visible(caller, execution_id))
    return run
