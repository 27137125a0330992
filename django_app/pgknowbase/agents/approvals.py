"""What admin, REST and your own code call when a person has decided."""

from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from pgknowbase.agents.background import continue_run, hand_over
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.recording import approvals
from pgknowbase.agents.recording.database import alias
from pgknowbase.errors import AgentError, ApprovalError

PERMISSION = "pgknowbase_agents.change_approvalrequest"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows from a decision.

    ``continues``: nothing else waits, and a worker goes on with the run. ``note``: what your own code has to do because
    no worker does; empty if there is nothing to do.
    """

    continues: bool
    note: str = ""


def decide(request_id: int, *, approve: bool, by: Any, reason: str = "") -> Decision:
    """Allow or refuse one tool call; after the last one a worker of the queue goes on with the run and its workflow.

    ``reason``: of a refusal, told to the model.

    Raises:
        ApprovalError: ``by`` may not decide, or there is nothing left to decide.
    """
    if not (getattr(by, "is_active", False) and by.has_perm(PERMISSION)):
        raise ApprovalError(f"{by} may not decide on tool calls: give them the permission {PERMISSION!r}.")
    if not approvals.decide(request_id, approve=approve, by=by, reason=reason):
        return Decision(continues=False)
    return _go_on(AgentExecution.objects.using(alias()).get(approvals=request_id))


async def adecide(request_id: int, *, approve: bool, by: Any, reason: str = "") -> Decision:
    """Async twin of ``decide``."""
    return await sync_to_async(decide)(request_id, approve=approve, by=by, reason=reason)


def _go_on(run: AgentExecution) -> Decision:
    own = f"agent.go_on({str(run.pk)!r})"
    if run.workflow_id is not None:
        own = f"orchestrator.resume({str(run.workflow_id)!r})"
    try:
        with transaction.atomic(alias()):
            continues = continue_run(run.pk)
            return Decision(continues=continues, note=_handed_over(run, own) if continues else "")
    except AgentError as error:
        return Decision(continues=False, note=f"No worker goes on with the run, call `await {own}`: {error}")


def _handed_over(run: AgentExecution, own: str) -> str:
    if run.workflow_id is None:
        return ""
    try:
        hand_over(run.workflow_id)
    except AgentError as error:
        return f"A worker goes on with this run but not with its workflow, call `await {own}` then: {error}"
    return ""
