"""Errors of agents as problems: whose fault it is, and what to do."""

from datetime import timedelta

from django.utils import timezone

from pgknowbase.api.links import execution_url, workflow_url
from pgknowbase.api.problems import Problem
from pgknowbase.errors import (
    AgentError,
    ApprovalError,
    ApprovalNeededError,
    BudgetExceededError,
    NoModelError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
    UnknownAgentError,
    UnknownWorkflowError,
    WorkflowError,
)

RUNS: list[tuple[type[AgentError], int, str]] = [
    (RunTimeoutError, 504, "run-timeout"),
    (RunCancelledError, 409, "run-cancelled"),
    (ApprovalNeededError, 409, "approval"),
    (RunError, 502, "run-failed"),
    (UnknownAgentError, 404, "not-found"),
    (UnknownWorkflowError, 404, "not-found"),
    (NoModelError, 503, "no-model"),
    (ApprovalError, 409, "decided"),
]


def problem_of(error: AgentError) -> Problem:
    """The problem that tells of ``error``."""
    if isinstance(error, BudgetExceededError):
        return _budget(error)
    if isinstance(error, WorkflowError) and not isinstance(error, UnknownWorkflowError):
        return _workflow(error)
    for kind, status, name in RUNS:
        if isinstance(error, kind):
            place = execution_url(error.execution_id) if isinstance(error, RunError) else None
            return Problem(status, name, str(error), instance=place)
    return Problem(409, "agent", str(error))


def _budget(error: BudgetExceededError, instance: str | None = None) -> Problem:
    """Budgets are for a day."""
    now = timezone.localtime()
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    wait = {"Retry-After": str(max(1, int((tomorrow - now).total_seconds()) + 1))}
    return Problem(429, "budget", str(error), headers=wait, instance=instance)


def _workflow(error: WorkflowError) -> Problem:
    if error.workflow_id is None:
        return Problem(422, "workflow", str(error))
    place, cause = workflow_url(error.workflow_id), error.__cause__
    if isinstance(cause, BudgetExceededError):
        return _budget(cause, place)
    if isinstance(cause, NoModelError):
        return Problem(503, "no-model", str(cause), instance=place)
    if isinstance(cause, TimeoutError):
        return Problem(504, "run-timeout", str(error), instance=place)
    return Problem(502, "run-failed", str(error), instance=place)
