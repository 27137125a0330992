"""What tools are declared with: the context that they get, and sets of them. Nothing here imports pydantic-ai."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

Deps = TypeVar("Deps", default=object, covariant=True)

if TYPE_CHECKING:
    from pydantic_ai import RunContext as Context
else:

    class Context(Generic[Deps]):
        """In the place of pydantic-ai's, of which ``engine`` makes the context of a call."""


class RunContext(Context[Deps], Generic[Deps]):
    """What a tool gets as its first argument: pydantic-ai's context, with ``agent_name`` added.

    ``deps``, ``usage``, ``messages`` and the rest are pydantic-ai's.
    """

    @property
    def agent_name(self) -> str:
        """The name of the agent that runs."""
        return (self.agent.name if self.agent else None) or ""


@dataclass(frozen=True)
class Toolset:
    """Functions, each of which takes a ``RunContext`` first, as tools. ``engine`` makes one of pydantic-ai's of it.

    Attributes:
        name: the id of the set.
        functions: those that only read.
        writing: those that change something, which ask for approval by default.
    """

    name: str
    functions: Sequence[Callable[..., Any]]
    writing: Sequence[Callable[..., Any]] = ()
