"""Tool sets of pydantic-ai made of plain functions."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pydantic_ai import Tool
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pgknowbase.agents.adapter.context import adapted
from pgknowbase.agents.outcome import Permission
from pgknowbase.errors import AgentError

ToolPermission: TypeAlias = Permission


def toolset(name: str, functions: Sequence[Callable[..., Any]]) -> AbstractToolset[Any]:
    """Functions as one set of tools; each takes our ``RunContext`` first."""
    return FunctionToolset([made(function) for function in functions], id=name)


def checked(given: Any) -> Any:
    """A tool set as it is, or a function that makes one for each run.

    Raises:
        AgentError: it is neither.
    """
    if not isinstance(given, AbstractToolset) and not callable(given):
        raise AgentError(
            f"{given!r:.100} is no tool set: pass one of pgknowbase.agents.toolsets, as knowledge_tools()."
        )
    return given


def made(function: Any, **options: Any) -> Tool[Any]:
    """A function as a tool; a ``Tool`` is returned as it is.

    Raises:
        AgentError: it is neither.
    """
    if not isinstance(function, Tool) and not callable(function):
        raise AgentError(f"{function!r:.100} is no tool: pass a function.")
    return function if isinstance(function, Tool) else Tool(adapted(function), **options)
