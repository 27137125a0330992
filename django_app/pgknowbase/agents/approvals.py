"""Deciding on tool calls that wait for a person: what the admin, REST and your own code call."""

from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from pgknowbase.agents import background
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.runs.approval_requests import record_decision
from pgknowbase.agents.runs.database import alias
from pgknowbase.errors import AgentError, ApprovalError

PERMISSION = "pgknowbase_agents.change_approvalrequest"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows from a decision.

    Attributes:
        continues: no other request of the run is open, and a worker resumes it.
        note: what your own code has to do because no worker does; empty if there is nothing to do.
    """

    continues: bool
    note: str = ""


def decide(request_id: int, *, approve: bool, by: Any, reason: str = "") -> Decision:
    """Approve or refuse one tool call. After the last decision a worker resumes the run, then its workflow.

    Args:
        request_id: the key of an ``ApprovalRequest``.
        by: the user who decides. The permission is checked here, for every caller, and users may decide on calls of
            their own runs: approval protects against the model, not against the user.
        reason: of a refusal; the model gets it and can act on it.

    Raises:
        ApprovalError: ``by`` may not decide, or there is nothing left to decide.
    """
    if not (getattr(by, "is_active", False) and by.has_perm(PERMISSION)):
        raise ApprovalError(f"{by} may not decide on tool calls: give them the permission {PERMISSION!r}.")
    if not record_decision(request_id, approve=approve, by=by, reason=reason):
        return Decision(continues=False)
    return _resume(AgentExecution.objects.using(alias()).get(approvals=request_id))


async def adecide(request_id: int, *, approve: bool, by: Any, reason: str = "") -> Decision:
    """Async twin of ``decide``."""
    return await sync_to_async(decide)(request_id, approve=approve, by=by, reason=reason)


def _resume(run: AgentExecution) -> Decision:
    call = f"agent.resume({str(run.pk)!r})"
    if run.workflow_id is not None:
        call = f"orchestrator.resume({str(run.workflow_id)!r})"
    try:
        with transaction.atomic(alias()):
            continues = background.resume_in_background(run.pk)
            return Decision(continues=continues, note=_resume_workflow(run, call) if continues else "")
    except AgentError as error:
        return Decision(continues=False, note=f"No worker resumes the run, call `await {call}`: {error}")


def _resume_workflow(run: AgentExecution, call: str) -> str:
    if run.workflow_id is None:
        return ""
    try:
        background.resume_workflow_in_background(run.workflow_id)
    except AgentError as error:
        return f"A worker resumes this run but not its workflow, call `await {call}` then: {error}"
    return ""
