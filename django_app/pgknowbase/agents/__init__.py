"""Agents on pydantic-ai, whose every run is a row. Needs the extra ``agents`` and the app in ``INSTALLED_APPS``.

``adapter`` is the one package that knows pydantic-ai; ``recording`` keeps the rows; ``workflow`` runs several agents as
one; ``background`` hands runs to a queue; ``toolsets`` are tools that enforce who may do what.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.agents.adapter import FunctionModel, RunContext, TestModel
    from pgknowbase.agents.agent import DjangoAgent
    from pgknowbase.agents.deps import DjangoDeps
    from pgknowbase.agents.registry import agent_names, aget_agent, get_agent
    from pgknowbase.agents.result import AgentResult
    from pgknowbase.agents.workflow import SimpleOrchestrator, Step, define_workflow

__all__ = [
    "AgentResult",
    "DjangoAgent",
    "DjangoDeps",
    "FunctionModel",
    "RunContext",
    "SimpleOrchestrator",
    "Step",
    "TestModel",
    "agent_names",
    "aget_agent",
    "define_workflow",
    "get_agent",
]

_PLACES = {
    "AgentResult": "result",
    "DjangoAgent": "agent",
    "DjangoDeps": "deps",
    "FunctionModel": "adapter",
    "RunContext": "adapter",
    "SimpleOrchestrator": "workflow",
    "Step": "workflow",
    "TestModel": "adapter",
    "agent_names": "registry",
    "aget_agent": "registry",
    "define_workflow": "workflow",
    "get_agent": "registry",
}


def __getattr__(name: str) -> Any:
    # Not before it is asked for: the app must be importable without the extra, and before the apps are loaded.
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
