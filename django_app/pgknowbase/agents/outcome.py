"""What a run asks for and what came of it, in words of our own: no pydantic-ai here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Protocol
from uuid import UUID

Permission = Literal["allow", "deny", "ask"]


class End(Enum):
    """How a run ended."""

    COMPLETED = "completed"
    PAUSED = "paused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A tool call that waits for a person."""

    tool_name: str
    tool_call_id: str
    arguments: Any


class Journal(Protocol):
    """Writes down tool calls as they happen; the methods return when it is written."""

    async def tool_started(self, name: str, call_id: str, arguments: Any) -> int:
        """Returns what the other methods know it by."""

    async def tool_ended(self, row: int, status: str, *, result: Any = None, error: str = "") -> None: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run. ``decisions``: what people said of the calls that ``history`` waits for: True, or why not."""

    prompt: str | None
    deps: Any
    model: Any
    journal: Journal
    timeout: float | None
    max_retries: int
    retry_delay: float
    request_limit: int
    token_limit: int | None = None
    cost_limit: Decimal | None = None
    tool_calls_limit: int | None = None
    history: list[Any] | None = None
    decisions: Mapping[str, bool | str] | None = None
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    on_cancel: Callable[[Callable[[], None]], None] = lambda cancel: None


@dataclass(kw_only=True)
class Outcome:
    """What came of it. ``cause`` is the exception behind ``error``; figures count from this run's first request."""

    end: End = End.FAILED
    output: Any = None
    error: str = ""
    cause: BaseException | None = None
    model: str = ""
    messages: list[Any] = field(default_factory=list)
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    pending: list[PendingCall] = field(default_factory=list)

    @property
    def tokens_used(self) -> int:
        """Of prompts and answers together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a workflow a run belongs."""

    workflow_id: UUID
    order: int
    step: str
