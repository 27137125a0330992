"""Agents on pydantic-ai, whose every run is a row. Needs the extra ``agents`` and the app in ``INSTALLED_APPS``.

``agent`` is ``DjangoAgent``, ``registry`` finds agents by name, and ``runnable`` is the protocol by which the other
packages know them: ``runs`` records runs, ``workflows`` runs several agents as one, ``background`` queues runs for
workers, and ``toolsets`` are tools that enforce permissions. ``engine`` alone imports pydantic-ai, and is itself
imported by the first run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgknowbase.core.importing import importing

if TYPE_CHECKING:
    from pgknowbase.agents.agent import DjangoAgent
    from pgknowbase.agents.deps import DjangoDeps
    from pgknowbase.agents.engine import FunctionModel, TestModel
    from pgknowbase.agents.registry import agent_names, aget_agent, get_agent
    from pgknowbase.agents.runnable import AgentResult
    from pgknowbase.agents.tools import RunContext
    from pgknowbase.agents.workflows import SimpleOrchestrator, Step, define_workflow

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

_MODULES = {
    "AgentResult": "runnable",
    "DjangoAgent": "agent",
    "DjangoDeps": "deps",
    "FunctionModel": "engine",
    "RunContext": "tools",
    "SimpleOrchestrator": "workflows",
    "Step": "workflows",
    "TestModel": "engine",
    "agent_names": "registry",
    "aget_agent": "registry",
    "define_workflow": "workflows",
    "get_agent": "registry",
}


def __getattr__(name: str) -> Any:
    # Lazy: the app must be importable without the extra, and before Django has loaded the models.
    if name in _MODULES:
        with importing:
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
