"""``RunContext`` with the agent's name, and functions made ready for pydantic-ai."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, get_origin, get_type_hints

import pydantic_ai
from asgiref.sync import sync_to_async
from typing_extensions import TypeVar

Deps = TypeVar("Deps", default=object, covariant=True)


class RunContext(pydantic_ai.RunContext[Deps], Generic[Deps]):
    """What a tool is told: ``deps``, ``agent_name``, ``usage``, ``messages``, and the rest of pydantic-ai's."""

    @property
    def agent_name(self) -> str:
        """The name of the agent that runs."""
        return (self.agent.name if self.agent else None) or ""


def own(context: pydantic_ai.RunContext[Any]) -> RunContext[Any]:
    """The same context as ours; what it refers to is shared."""
    ours = object.__new__(RunContext)
    ours.__dict__.update(context.__dict__)
    return ours


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as pydantic-ai takes it.

    It gets our ``RunContext`` where it asks for that, and a sync function runs where Django keeps the caller's database
    connection, so that it sees the caller's transaction and leaves no connection behind.
    """
    if not inspect.isfunction(function) and not inspect.ismethod(function):
        return function
    first = _context_parameter(function)
    called = function if inspect.iscoroutinefunction(function) else sync_to_async(function, thread_sensitive=True)
    if first is None and called is function:
        return function

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if first is not None:
            args = (own(args[0]), *args[1:])
        return await called(*args, **kwargs)

    if first is not None:
        call.__annotations__ = {**function.__annotations__, first: pydantic_ai.RunContext[Any]}
    return call


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
