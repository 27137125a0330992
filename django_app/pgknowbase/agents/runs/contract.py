"""What the recorder of runs and the engine tell each other, in our own words: nothing here is pydantic-ai's."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Protocol

from pgknowbase.conf import RetryPolicy

Permission = Literal["allow", "deny", "ask"]
"""What an agent may do with a tool: call it, never call it, or call it after a person's approval."""

HOW_TO_CONFIGURE = (
    "name one as `model=` of the agent or of the run, or as PGKNOWBASE['AGENTS']['MODEL'], such as 'openai:gpt-4o-mini'"
)


class RunStatus(Enum):
    """How the engine left a run. ``PAUSED`` waits for approvals; a timeout is recorded as a failure."""

    COMPLETED = "completed"
    PAUSED = "paused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A tool call that waits for a person's approval."""

    tool_name: str
    tool_call_id: str
    arguments: Any


class Journal(Protocol):
    """Records tool calls as they happen. Both methods return when the row is committed."""

    async def tool_started(self, name: str, call_id: str, arguments: Any) -> int:
        """Record a call that is about to run; returns the key that ``tool_ended`` takes."""

    async def tool_ended(self, key: int, status: str, *, result: Any = None, error: str = "") -> None:
        """Record how a call ended; ``status`` is a ``ToolExecution.Status``."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run, as the engine is asked for it.

    Attributes:
        prompt: None when the run resumes from ``history`` after approvals.
        timeout: seconds of the whole run.
        retry: of requests to the provider; its number of attempts holds for tool calls and invalid outputs too.
        token_limit, cost_limit: what is left of limits and budgets; the run is stopped there.
        history: messages of an earlier run or of the paused run, as JSON.
        decisions: by tool call id, True for an approved call and the reason for a refused one.
        permissions: by tool name; a tool that is left out is allowed.
        model_settings: of this run, over those of the agent.
        register_cancel: called once with a function that stops the run, from any thread.
        on_event: an async function that gets each event of pydantic-ai, and at last with its ``AgentRunResultEvent``;
            the run waits for it.
    """

    prompt: str | None
    deps: Any
    model: Any
    journal: Journal
    timeout: float | None
    retry: RetryPolicy
    request_limit: int
    token_limit: int | None = None
    cost_limit: Decimal | None = None
    tool_calls_limit: int | None = None
    history: list[Any] | None = None
    decisions: Mapping[str, bool | str] | None = None
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    model_settings: dict[str, Any] = field(default_factory=dict)
    register_cancel: Callable[[Callable[[], None]], None] = lambda cancel: None
    on_event: Callable[[Any], Awaitable[None]] | None = None


@dataclass(kw_only=True)
class RunOutcome:
    """What came of a run. Counts and cost are those of this call of the engine, not of earlier parts of the run.

    ``cause`` is the exception behind ``error``; ``cost`` is in US dollars, None where any price is unknown.
    """

    status: RunStatus = RunStatus.FAILED
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
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens
