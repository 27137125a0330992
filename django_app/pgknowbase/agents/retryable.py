"""Which rows can be tried again."""

from pgknowbase.agents.models import AgentExecution, Status


def is_retryable(run: AgentExecution) -> bool:
    """Whether a run ended without an output. A step of a workflow is retried with its workflow."""
    return run.status in (Status.FAILED, Status.CANCELLED) and run.workflow_id is None
