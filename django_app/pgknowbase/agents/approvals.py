"""What admin, REST and your own code call when a person has decided."""

from typing import Any

from pgknowbase.agents.background import continue_run
from pgknowbase.agents.models import ApprovalRequest
from pgknowbase.agents.recording import approvals
from pgknowbase.agents.recording.database import alias
from pgknowbase.errors import ApprovalError

PERMISSION = "pgknowbase_agents.change_approvalrequest"


def decide(request_id: int, *, approve: bool, by: Any, reason: str = "") -> bool:
    """Allow or refuse one tool call; after the last one a worker of the queue goes on with the run: True.

    ``reason``: of a refusal, told to the model.

    Raises:
        ApprovalError: ``by`` may not decide, or there is nothing left to decide.
    """
    if not (getattr(by, "is_active", False) and by.has_perm(PERMISSION)):
        raise ApprovalError(f"{by} may not decide on tool calls: give them the permission {PERMISSION!r}.")
    if not approvals.decide(request_id, approve=approve, by=by, reason=reason):
        return False
    return continue_run(ApprovalRequest.objects.using(alias()).get(pk=request_id).execution_id)
