"""Routes of approvals: what waits for a person, and what they say."""

from typing import Annotated

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Path, Query

from pgknowbase.agents.approvals import PERMISSION, decide
from pgknowbase.agents.models import ApprovalRequest
from pgknowbase.agents.recording.database import alias
from pgknowbase.api.callers import Caller, caller_of
from pgknowbase.api.orchestrator.answers import approval_fields, approval_of
from pgknowbase.api.orchestrator.base import may, paged, router, signed_in, visible
from pgknowbase.api.orchestrator.shapes import (
    LARGEST,
    ApprovalAnswer,
    ApprovalFilter,
    ApprovalPage,
    DecisionRequest,
)
from pgknowbase.api.parameters import check_names
from pgknowbase.errors import NotFoundError

SCOPE = "approvals"


@router.get("approvals/", response=ApprovalPage, operation_id="listApprovals")
def list_approvals(request: HttpRequest, asked: Query[ApprovalFilter]) -> ApprovalPage:
    """Tool calls that wait for a person: of the caller's runs, or of all for those who may view or decide them."""
    check_names(request, ApprovalFilter)
    rows = _visible(signed_in(request)).filter(status=asked.status).select_related("execution")
    found, more = paged(rows.order_by("-requested_at", "-pk"), asked)
    return ApprovalPage(results=[approval_of(row) for row in found], next_offset=more)


@router.post("approvals/{approval_id}/decide/", response=ApprovalAnswer, operation_id="decideApproval")
def decide_approval(
    request: HttpRequest, approval_id: Annotated[int, Path(ge=1, le=LARGEST)], asked: DecisionRequest
) -> ApprovalAnswer:
    """Allow or refuse a tool call. After the last decision a worker goes on with the run, unless ``note`` says more."""
    caller = caller_of(request)
    caller.require(SCOPE, PERMISSION)
    row = _visible(caller).filter(pk=approval_id).select_related("execution").first()
    if row is None:
        raise NotFoundError(f"There is no request {approval_id}: look it up in the list.")
    decision = decide(row.pk, approve=asked.approve, by=caller.user, reason=asked.reason)
    row.refresh_from_db()
    return ApprovalAnswer.model_validate(
        {**approval_fields(row), "continues": decision.continues, "note": decision.note}
    )


def _visible(caller: Caller) -> QuerySet[ApprovalRequest]:
    if may(caller, "change", ApprovalRequest):
        return ApprovalRequest.objects.using(alias())
    return visible(ApprovalRequest, caller, owner="execution__user_id")
