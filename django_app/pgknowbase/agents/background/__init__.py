"""Runs handed to a queue: Django's tasks, with the row of the run as the truth of what is to be done."""

from pgknowbase.agents.background.queue import (
    arun_in_background,
    continue_run,
    retry_execution,
    run_again,
    run_in_background,
)
from pgknowbase.agents.background.sweeping import sweep_runs
from pgknowbase.agents.background.workflows import (
    arun_workflow_in_background,
    hand_over,
    retry_workflow,
    run_workflow_in_background,
)

__all__ = [
    "arun_in_background",
    "arun_workflow_in_background",
    "continue_run",
    "hand_over",
    "retry_execution",
    "retry_workflow",
    "run_again",
    "run_in_background",
    "run_workflow_in_background",
    "sweep_runs",
]
