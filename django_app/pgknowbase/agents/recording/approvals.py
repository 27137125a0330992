"""Requests for approval: what people decide, and what a run goes on with."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, ToolExecution
from pgknowbase.agents.recording.database import alias, committed
from pgknowbase.errors import ApprovalError


def decide(request_id: int, *, approve: bool, by: Any = None, reason: str = "") -> bool:
    """Allow or refuse one tool call; True if the run can go on now, because nothing else waits for a decision.

    Raises:
        ApprovalError: the request is decided already, or its run no longer waits.
    """
    using = alias()
    if isinstance(request_id, bool) or not str(request_id).isdecimal():
        raise ApprovalError(f"{request_id!r:.100} is no id of a request: pass the number that its row has.")

    def write() -> bool:
        with transaction.atomic(using):
            request = ApprovalRequest.objects.using(using).filter(pk=request_id).first()
            if request is None:
                raise ApprovalError(f"Request {request_id!r} does not exist: reload the list.")
            # The run first: two people may decide on two of its requests at once, and one of them must see the last.
            run = AgentExecution.objects.using(using).select_for_update().get(pk=request.execution_id)
            request.refresh_from_db(using=using)
            if request.status != ApprovalRequest.Status.PENDING or run.status != Status.PENDING:
                raise ApprovalError(
                    f"Request {request_id!r} of {request.tool_name!r} is {request.status.lower()} and its run"
                    f" {run.status.lower()}: there is nothing left to decide."
                )
            request.status = ApprovalRequest.Status.APPROVED if approve else ApprovalRequest.Status.DENIED
            request.decided_by, request.decided_at, request.reason = by, timezone.now(), reason
            request.save(using=using)
            _close(request)
            return not run.approvals.filter(status=ApprovalRequest.Status.PENDING).exists()

    return committed(write)


def withdraw(execution: AgentExecution) -> None:
    """What a run asked that will not go on: nobody has to decide on it any more."""
    for request in execution.approvals.using(alias()).filter(status=ApprovalRequest.Status.PENDING):
        request.status, request.decided_at = ApprovalRequest.Status.DENIED, timezone.now()
        request.reason = "The run was cancelled."
        request.save(using=alias())
        _close(request)


def decisions_of(execution: AgentExecution) -> dict[str, bool | str] | None:
    """What people said of the calls that the stored messages wait for; None if it waits for none."""
    answered = {
        part.get("tool_call_id")
        for message in execution.messages
        for part in message.get("parts", ())
        if part.get("part_kind") in ("tool-return", "retry-prompt")
    }
    said: dict[str, bool | str] = {}
    for request in execution.approvals.exclude(tool_call_id__in=answered):
        refused = request.reason or "A person refused this call: answer without it."
        said[request.tool_call_id] = True if request.status == ApprovalRequest.Status.APPROVED else refused
    return said or None


def _close(request: ApprovalRequest) -> None:
    """The waiting row of the call: an approved call gets a new one when it runs."""
    approved = request.status == ApprovalRequest.Status.APPROVED
    for call in ToolExecution.objects.filter(
        execution=request.execution_id, tool_call_id=request.tool_call_id, status=ToolExecution.Status.WAITING
    ).using(alias()):
        if approved:
            call.delete(using=alias())
            continue
        call.status, call.error = ToolExecution.Status.REFUSED, request.reason or "A person refused it."
        call.completed_at = timezone.now()
        call.save(using=alias())
