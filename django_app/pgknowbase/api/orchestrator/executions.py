"""Routes of runs, to see, cancel and retry them, and of the approvals that runs wait for."""

from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Path, Query
from ninja.responses import Status

from pgknowbase.agents import background as queue
from pgknowbase.agents.approvals import PERMISSION, decide
from pgknowbase.agents.models import FINAL, AgentExecution, ApprovalRequest
from pgknowbase.agents.runs.cancelling import cancel_execution
from pgknowbase.agents.runs.database import alias
from pgknowbase.api.authentication import Caller, get_caller
from pgknowbase.api.orchestrator.access import (
    check_budgets,
    has_permission,
    narrow,
    paginate,
    require_change,
    require_user,
    router,
    visible_rows,
)
from pgknowbase.api.orchestrator.agents import earlier_run
from pgknowbase.api.orchestrator.schemas import (
    LARGEST_ID,
    ApprovalFilter,
    ApprovalPage,
    DecisionRequest,
    DecisionResult,
    ExecutionDetail,
    ExecutionFilter,
    ExecutionPage,
    ExecutionSummary,
)
from pgknowbase.api.orchestrator.serializers import approval_fields, approval_of, detail_of, summary_of
from pgknowbase.api.parameters import REPLAYED, IdempotencyKey, bound_key, reject_unknown_parameters
from pgknowbase.api.problems import Problem
from pgknowbase.errors import NotFoundError

APPROVALS_SCOPE = "approvals"


@router.get("executions/", response=ExecutionPage, operation_id="listExecutions")
def list_executions(request: HttpRequest, filters: Query[ExecutionFilter]) -> ExecutionPage:
    """The caller's runs, or with the permission to view them all runs; the latest first."""
    reject_unknown_parameters(request, ExecutionFilter)
    rows = narrow(visible_rows(AgentExecution, require_user(request)), filters)
    if filters.agent is not None:
        rows = rows.filter(agent_name=filters.agent)
    # The wide columns: a page of runs would read megabytes of messages for a list that does not show them.
    found, following = paginate(rows.defer("messages", "output_data"), filters)
    return ExecutionPage(results=[summary_of(row) for row in found], next_offset=following)


@router.get("executions/{execution_id}/", response=ExecutionDetail, operation_id="execution", url_name="execution")
def execution(request: HttpRequest, execution_id: UUID) -> ExecutionDetail:
    """One run, with the tools that it called and what it waits for."""
    return detail_of(_visible_execution(require_user(request), execution_id))


@router.post("executions/{execution_id}/cancel/", response={202: ExecutionSummary}, operation_id="cancelExecution")
def cancel(request: HttpRequest, execution_id: UUID) -> Any:
    """Cancel a run: one that waits at once, one that is at work within some seconds."""
    row = _changeable_execution(require_user(request), execution_id)
    if not cancel_execution(row.pk):
        raise Problem(409, "ended", f"The run {row.pk} is {row.status.lower()} already: there is nothing to cancel.")
    row.refresh_from_db()
    return Status(202, summary_of(row))


@router.post("executions/{execution_id}/retry/", response={202: ExecutionSummary}, operation_id="retryExecution")
def retry(
    request: HttpRequest, execution_id: UUID, response: HttpResponse, idempotency_key: IdempotencyKey = None
) -> Any:
    """A new run in the background with the prompt and user of this one. Heeds Idempotency-Key."""
    row = _changeable_execution(require_user(request), execution_id)
    if row.status not in FINAL:
        raise Problem(409, "at-work", f"The run {row.pk} is {row.status.lower()}: cancel it or wait for its end.")
    key = bound_key(request, idempotency_key)
    if earlier := earlier_run(row.agent_name, key, prompt=row.input_prompt, user_id=row.user_id):
        response.headers[REPLAYED] = "true"
        return Status(202, summary_of(earlier))
    check_budgets(row.agent_name, row.user_id)
    return Status(202, summary_of(queue.retry(row, idempotency_key=key)))


def _visible_execution(caller: Caller, execution_id: UUID) -> AgentExecution:
    row = visible_rows(AgentExecution, caller).filter(pk=execution_id).first()
    if row is None:
        raise NotFoundError(f"There is no execution {execution_id} that you may see: look it up in the list.")
    return row


def _changeable_execution(caller: Caller, execution_id: UUID) -> AgentExecution:
    row = _visible_execution(caller, execution_id)
    require_change(caller, row)
    return row


# Approvals


@router.get("approvals/", response=ApprovalPage, operation_id="listApprovals")
def list_approvals(request: HttpRequest, filters: Query[ApprovalFilter]) -> ApprovalPage:
    """Tool calls that wait for a person: of the caller's runs, or of all for those who may view or decide them."""
    reject_unknown_parameters(request, ApprovalFilter)
    rows = _visible_approvals(require_user(request)).filter(status=filters.status).select_related("execution")
    found, following = paginate(rows.order_by("-requested_at", "-pk"), filters)
    return ApprovalPage(results=[approval_of(row) for row in found], next_offset=following)


@router.post("approvals/{approval_id}/decide/", response=DecisionResult, operation_id="decideApproval")
def decide_approval(
    request: HttpRequest, approval_id: Annotated[int, Path(ge=1, le=LARGEST_ID)], body: DecisionRequest
) -> DecisionResult:
    """Allow or refuse a tool call. After the last decision a worker resumes the run, unless ``note`` says more."""
    caller = get_caller(request)
    caller.require(APPROVALS_SCOPE, PERMISSION)
    row = _visible_approvals(caller).filter(pk=approval_id).select_related("execution").first()
    if row is None:
        raise NotFoundError(f"There is no request {approval_id}: look it up in the list.")
    decision = decide(row.pk, approve=body.approve, by=caller.user, reason=body.reason)
    row.refresh_from_db()
    return DecisionResult.model_validate(
        {**approval_fields(row), "continues": decision.continues, "note": decision.note}
    )


def _visible_approvals(caller: Caller) -> QuerySet[ApprovalRequest]:
    # Whoever decides on the calls of other users must see them first.
    if has_permission(caller, "change", ApprovalRequest):
        return ApprovalRequest.objects.using(alias())
    return visible_rows(ApprovalRequest, caller, owner="execution__user_id")
