"""An agent as it was declared, and the engine that runs it, which is made when it is needed."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from pgknowbase.core.importing import importing

if TYPE_CHECKING:
    from pgknowbase.agents.engine import Engine


class LazyEngine:
    """Makes an ``Engine`` at the first use: its import takes longer than Django's, and few processes run an agent.

    ``arguments`` are those of ``Engine``.
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._registered: list[Callable[[Engine], None]] = []
        self._engine: Engine | None = None
        self._making = Lock()

    def register(self, call: Callable[["Engine"], None]) -> None:
        """Call ``call`` with the engine: when it is made, or now."""
        with self._making:
            if self._engine is None:
                self._registered.append(call)
            else:
                call(self._engine)

    def get(self) -> "Engine":
        """The engine.

        Raises:
            AgentError: the agent cannot be made of what was declared.
        """
        with self._making:
            if self._engine is None:
                with importing:
                    from pgknowbase.agents.engine import make_engine  # imports pydantic-ai
                self._engine = make_engine(self._registered, **self._arguments)
            return self._engine

    async def aget(self) -> "Engine":
        """Async twin of ``get``; the event loop does not wait for the import."""
        return self._engine or await sync_to_async(self.get)()
