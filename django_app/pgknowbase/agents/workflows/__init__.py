"""Several agents run as one: in sequence, in parallel, or as one of them decides. Workflows resume after a crash."""

from pgknowbase.agents.workflows.nodes import Conditional, Parallel, Sequential, Step
from pgknowbase.agents.workflows.orchestrator import SimpleOrchestrator
from pgknowbase.agents.workflows.registry import define_workflow
from pgknowbase.agents.workflows.runner import StepResult, WorkflowResult

__all__ = [
    "Conditional",
    "Parallel",
    "Sequential",
    "SimpleOrchestrator",
    "Step",
    "StepResult",
    "WorkflowResult",
    "define_workflow",
]
