"""What runs under a name, and what a run returns: the types that registry, workflows and ``on_change`` rely on.

``DjangoAgent`` is the one implementation here. Nothing in this module needs pydantic-ai.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable
from uuid import UUID

from pgknowbase.errors import AgentError

Output = TypeVar("Output")


@dataclass(frozen=True, kw_only=True)
class StepRef:
    """The step of a workflow that a run belongs to.

    ``order`` counts the steps of the workflow from 1; ``path`` names the step in it, such as ``"1/summarizer"``.
    """

    workflow_id: UUID
    order: int
    path: str


@dataclass(frozen=True, kw_only=True)
class AgentResult(Generic[Output]):
    """What a completed run returns.

    Attributes:
        output: the answer, of the agent's ``output_type``.
        execution_id: the key of its ``AgentExecution``.
        execution_time: seconds at work; the time that a paused run waited does not count.
        tokens_used: input and output tokens of all requests together.
        cost: US dollars, or None where the price of any request is unknown.
        messages: the conversation as JSON; pass it as ``message_history`` to continue it.
    """

    output: Output
    execution_id: UUID
    execution_time: float
    tokens_used: int
    cost: Decimal | None
    messages: list[Any] = field(repr=False)


class AgentStream(Generic[Output]):
    """A run whose answer is read while the model writes it; see ``DjangoAgent.run_stream``."""

    def __init__(self, stream: Any, execution_id: UUID, *, is_output: Callable[[Any], bool]) -> None:
        self._stream = stream
        self._is_output = is_output
        self.execution_id = execution_id

    def stream_text(self, *, delta: bool = False) -> AsyncIterator[str]:
        """The whole text so far at each step, or with ``delta`` only its new part. For agents whose output is text."""
        return cast("AsyncIterator[str]", self._stream.stream_text(delta=delta))

    async def stream_output(self) -> AsyncIterator[Output]:
        """The output so far at each step, as far as it is valid. Yields nothing when the run pauses for an approval."""
        async for output in self._stream.stream_output():
            if self._is_output(output):
                yield output

    async def get_output(self) -> Output:
        """Wait for the end of the run and return the whole output."""
        return cast("Output", await self._stream.get_output())


@runtime_checkable
class Runnable(Protocol):
    """An agent, as far as the rest of this package knows it.

    Attributes:
        name: its name in rows, commands and the registry.
        description: one line for users who choose an agent.
        output_type: what ``AgentResult.output`` is.
        model: the model of its own, or None for that of the settings.
        timeout: seconds of a run, or None for that of the settings.
    """

    name: str
    description: str
    output_type: Any
    model: Any
    timeout: float | None

    def model_name(self, model: Any = None) -> str:
        """The model that a run would ask. Raises ``NoModelError`` where there is none."""

    async def run(
        self,
        prompt: str,
        *,
        deps: Any = None,
        model: Any = None,
        timeout: float | None = None,
        message_history: list[Any] | None = None,
        model_settings: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        step: StepRef | None = None,
    ) -> AgentResult[Any]:
        """Run it to the end; the run is a row."""

    def run_sync(self, prompt: str, **options: Any) -> AgentResult[Any]:
        """``run`` for sync code."""

    def run_stream(
        self,
        prompt: str,
        *,
        deps: Any = None,
        model: Any = None,
        timeout: float | None = None,
        message_history: list[Any] | None = None,
        model_settings: Mapping[str, Any] | None = None,
    ) -> AbstractAsyncContextManager[AgentStream[Any]]:
        """Run it and read the answer while it is written."""

    async def resume(self, execution_id: UUID, *, deps: Any = None) -> AgentResult[Any] | None:
        """Do a run whose row is PENDING; None if it is not pending."""


def require_sync(name: str, *, instead: str) -> None:
    """Refuse a call of the sync function ``name`` in async code, where it would block the event loop.

    Raises:
        AgentError: an event loop runs in this thread; the message recommends ``instead``.
    """
    if asyncio._get_running_loop() is not None:
        raise AgentError(f"{name} was called in async code: use `{instead}`.")
