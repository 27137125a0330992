"""Runs and workflows in a queue of Django's tasks. The row says what is to be done; the task only names it.

``queue`` knows the task framework, ``jobs`` are the two tasks that workers run, ``submit`` puts runs into the queue,
and ``sweep`` finds those whose process or task was lost.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.agents.background.submit import (
        arun_in_background,
        arun_workflow_in_background,
        resume_in_background,
        resume_workflow_in_background,
        retry,
        retry_execution,
        retry_workflow,
        run_in_background,
        run_workflow_in_background,
    )
    from pgknowbase.agents.background.sweep import sweep_runs

__all__ = [
    "arun_in_background",
    "arun_workflow_in_background",
    "resume_in_background",
    "resume_workflow_in_background",
    "retry",
    "retry_execution",
    "retry_workflow",
    "run_in_background",
    "run_workflow_in_background",
    "sweep_runs",
]


def __getattr__(name: str) -> Any:
    # Lazy, because the tasks need the extra, and Django validates them against TASKS when their module is imported. The
    # admin imports this package, and has to work without either.
    if name in __all__:
        return getattr(import_module(f"{__name__}.{'sweep' if name == 'sweep_runs' else 'submit'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
