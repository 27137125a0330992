"""Rows of requests for approval: made when a run pauses, decided by users, read when the run resumes."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, ToolExecution
from pgknowbase.agents.runs.contract import PendingCall
from pgknowbase.agents.runs.database import alias, write_durably
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.errors import ApprovalError


def request_approvals(run: AgentExecution, calls: Iterable[PendingCall]) -> None:
    """Write one request for each call that the paused run waits for; call it in the transaction that pauses the run."""
    using, now = alias(), timezone.now()
    for call in calls:
        arguments = as_json(call.arguments)
        ApprovalRequest.objects.using(using).create(
            execution=run, tool_name=call.tool_name, tool_call_id=call.tool_call_id, arguments=arguments
        )
        # Calls held back by our own permission have a WAITING row; those that pydantic-ai held back have none yet.
        waiting = ToolExecution.objects.using(using).filter(
            execution=run, tool_call_id=call.tool_call_id, status=ToolExecution.Status.WAITING
        )
        if not waiting.exists():
            ToolExecution.objects.using(using).create(
                execution=run,
                tool_name=call.tool_name,
                tool_call_id=call.tool_call_id,
                arguments=arguments,
                status=ToolExecution.Status.WAITING,
                started_at=now,
            )


def has_open_requests(run: AgentExecution) -> bool:
    """Whether a person still has to decide on a call of this run."""
    return run.approvals.filter(status=ApprovalRequest.Status.PENDING).exists()


def record_decision(request_id: int, *, approve: bool, by: Any = None, reason: str = "") -> bool:
    """Approve or refuse one tool call. Returns True if that was the run's last open request, so that it can resume.

    Raises:
        ApprovalError: the request is decided already, or its run no longer waits.
    """
    using = alias()
    if isinstance(request_id, bool) or not str(request_id).isdecimal():
        raise ApprovalError(f"{request_id!r:.100} is not an id of a request: pass the number that its row has.")

    def write() -> bool:
        with transaction.atomic(using):
            request = ApprovalRequest.objects.using(using).filter(pk=request_id).first()
            if request is None:
                raise ApprovalError(f"Request {request_id!r} does not exist: reload the list.")
            # Lock the run, not the request: when two users decide on two requests of one run at the same moment,
            # exactly one of them must see that no request is left.
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
            return not has_open_requests(run)

    return write_durably(write)


def withdraw(execution: AgentExecution) -> None:
    """Refuse the open requests of a run that was cancelled, so that nobody is asked for them any more."""
    for request in execution.approvals.using(alias()).filter(status=ApprovalRequest.Status.PENDING):
        request.status, request.decided_at = ApprovalRequest.Status.DENIED, timezone.now()
        request.reason = "The run was cancelled."
        request.save(using=alias())
        _close(request)


def decisions_of(execution: AgentExecution) -> dict[str, bool | str] | None:
    """The decisions on the calls that the stored messages still wait for, as ``RunRequest.decisions``; None if none.

    Calls whose result is in the messages already were resumed earlier: a run may pause several times.
    """
    answered = {
        part.get("tool_call_id")
        for message in execution.messages
        for part in message.get("parts", ())
        if part.get("part_kind") in ("tool-return", "retry-prompt")
    }
    decisions: dict[str, bool | str] = {}
    for request in execution.approvals.exclude(tool_call_id__in=answered):
        refused = request.reason or "A person refused this call: answer without it."
        decisions[request.tool_call_id] = True if request.status == ApprovalRequest.Status.APPROVED else refused
    return decisions or None


def _close(request: ApprovalRequest) -> None:
    """End the WAITING row of the call. An approved call loses it, because it gets a new row when it runs."""
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
