"""Python functions as pydantic-ai's tools, and the ``RunContext`` that they get."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_origin, get_type_hints

import pydantic_ai
from asgiref.sync import sync_to_async
from pydantic_ai import Tool
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset

from pgknowbase.agents.runs.contract import Permission
from pgknowbase.agents.tools import RunContext, Toolset
from pgknowbase.errors import AgentError, ToolRefusedError


class ToolContext(RunContext[Any], pydantic_ai.RunContext[Any]):
    """Our ``RunContext`` as it is at run time."""


def adapt_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` in the form that pydantic-ai takes.

    It gets our ``RunContext`` where its first parameter is annotated so. A sync function is run by ``sync_to_async``,
    in the thread that Django assigns to this context: it sees the caller's transaction, and leaves no connection open
    in a thread that nobody cleans up.
    """
    if not inspect.isfunction(function) and not inspect.ismethod(function):
        return function
    context_parameter = _context_parameter(function)
    called = function if inspect.iscoroutinefunction(function) else sync_to_async(function, thread_sensitive=True)
    if context_parameter is None and called is function:
        return function

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if context_parameter is not None:
            args = (_own_context(args[0]), *args[1:])
        return await called(*args, **kwargs)

    if context_parameter is not None:
        # pydantic-ai decides by the annotation whether to pass a context, and knows its own class alone.
        call.__annotations__ = {**function.__annotations__, context_parameter: pydantic_ai.RunContext[Any]}
    return call


# The metadata of a tool that changes something. A text that the model has read can make it call any tool, so such a
# tool asks a person unless the agent's ``permissions`` allow it.
WRITES = {"pgknowbase_writes": True}


def function_toolset(declared: Toolset) -> AbstractToolset[Any]:
    """A tool set of ours as one of pydantic-ai's."""
    tools = [as_tool(function) for function in declared.functions]
    writing = [as_tool(function, metadata=WRITES) for function in declared.writing]
    return FunctionToolset([*tools, *writing], id=declared.name)


@dataclass
class ToolsetForUser(WrapperToolset[Any]):
    """A tool set whose tools act for one user, whatever the deps of the run are: for any agent of pydantic-ai.

    What a ``DjangoAgent`` does around its tools is done here: refusals are told to the model, and tools that write ask
    for approval.
    """

    make_deps: Callable[[], Any]

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: pydantic_ai.RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        if default_permission(tool.tool_def.metadata) == "ask" and not ctx.tool_call_approved:
            raise pydantic_ai.ApprovalRequired
        try:
            return await self.wrapped.call_tool(name, tool_args, replace(ctx, deps=self.make_deps()), tool)
        except ToolRefusedError as error:
            raise ToolFailed(str(error)) from error


def default_permission(metadata: Mapping[str, Any] | None) -> Permission:
    """The permission of a tool that the agent's ``permissions`` do not name, by its metadata."""
    return "ask" if metadata and WRITES.items() <= metadata.items() else "allow"


def as_tool(function: Any, **options: Any) -> Tool[Any]:
    """A function as a tool; a ``Tool`` of pydantic-ai is returned as it is.

    Raises:
        AgentError: it is neither.
    """
    if not isinstance(function, Tool) and not callable(function):
        raise AgentError(f"{function!r:.100} is not a tool: pass a function.")
    return function if isinstance(function, Tool) else Tool(adapt_function(function), **options)


def as_toolset(given: Any) -> Any:
    """A tool set, or a function that makes one for each run, as pydantic-ai takes it.

    Raises:
        AgentError: it is neither.
    """
    if isinstance(given, Toolset):
        return function_toolset(given)
    if not isinstance(given, AbstractToolset) and not callable(given):
        raise AgentError(
            f"{given!r:.100} is not a tool set: pass one of pgknowbase.agents.toolsets, as knowledge_tools()."
        )
    return given


def _own_context(context: pydantic_ai.RunContext[Any]) -> RunContext[Any]:
    """The same context as an instance of our class; what it refers to is shared, not copied."""
    ours = object.__new__(ToolContext)
    ours.__dict__.update(context.__dict__)
    return ours


def _context_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the first parameter, if it is annotated with our ``RunContext``."""
    first = next(iter(inspect.signature(function).parameters), None)
    annotation = inspect.get_annotations(function).get(first) if first else None
    if isinstance(annotation, str):
        try:
            annotation = get_type_hints(function).get(first or "")
        except NameError:  # something else in the signature is only there for the type checker
            return first if str(annotation).partition("[")[0].rpartition(".")[2] == "RunContext" else None
    return first if annotation is RunContext or get_origin(annotation) is RunContext else None
