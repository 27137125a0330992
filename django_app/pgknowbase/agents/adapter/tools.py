"""Tool sets of pydantic-ai made of plain functions."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pydantic_ai import Tool
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pgknowbase.agents.adapter.context import adapted
from pgknowbase.agents.outcome import Permission

ToolPermission: TypeAlias = Permission


def toolset(name: str, functions: Sequence[Callable[..., Any]]) -> AbstractToolset[Any]:
    """Functions as one set of tools; each takes our ``RunContext`` first."""
    return FunctionToolset([made(function) for function in functions], id=name)


def made(function: Any, **options: Any) -> Tool[Any]:
    """A function as a tool; a ``Tool`` is returned as it is."""
    return function if isinstance(function, Tool) else Tool(adapted(function), **options)
