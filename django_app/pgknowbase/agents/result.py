"""What a run returns."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

Output = TypeVar("Output")


@dataclass(frozen=True, kw_only=True)
class AgentResult(Generic[Output]):
    """``execution_time`` in seconds; ``cost`` in US dollars, None where a price is unknown; ``messages`` as JSON."""

    output: Output
    execution_id: UUID
    execution_time: float
    tokens_used: int
    cost: Decimal | None
    messages: list[Any] = field(repr=False)


class AgentStream(Generic[Output]):
    """A run whose answer is read while it comes."""

    def __init__(self, stream: Any, execution_id: UUID) -> None:
        self._stream = stream
        self.execution_id = execution_id

    def stream_text(self, *, delta: bool = False) -> AsyncIterator[str]:
        """The text so far at each step, or with ``delta`` what is new; for agents whose output is text."""
        return cast("AsyncIterator[str]", self._stream.stream_text(delta=delta))

    async def stream_output(self) -> AsyncIterator[Output]:
        """The output so far at each step, as far as it is valid; nothing where the run has to wait for a person."""
        from pgknowbase.agents.adapter.results import is_request

        async for output in self._stream.stream_output():
            if not is_request(output):
                yield output

    async def get_output(self) -> Output:
        """Wait for the end; the whole output."""
        return cast("Output", await self._stream.get_output())
