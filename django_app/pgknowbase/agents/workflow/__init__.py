"""Several agents as one: in a row, side by side, or as one of them decides; resumable after a crash."""

from pgknowbase.agents.workflow.nodes import Conditional, Parallel, Sequential, Step
from pgknowbase.agents.workflow.orchestrator import SimpleOrchestrator
from pgknowbase.agents.workflow.registry import define_workflow
from pgknowbase.agents.workflow.report import StepResult, WorkflowResult

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
