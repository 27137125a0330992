"""From pydantic-ai's results, errors and messages to a ``RunOutcome``, and from a ``RunRequest`` to its inputs."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic_ai.exceptions import RunCancelled, RunTimedOut
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.usage import RunUsage

from pgknowbase.agents.runs.contract import PendingCall, RunOutcome, RunRequest, RunStatus
from pgknowbase.core.secrets import without_secrets


def as_history(request: RunRequest) -> list[ModelMessage] | None:
    """The messages that the run continues."""
    return None if request.history is None else ModelMessagesTypeAdapter.validate_python(request.history)


def as_decisions(request: RunRequest) -> DeferredToolResults | None:
    """The decisions on the calls that the run waits for."""
    if request.decisions is None:
        return None
    results = DeferredToolResults()
    for call_id, decision in request.decisions.items():
        results.approvals[call_id] = ToolDenied(decision) if isinstance(decision, str) else decision
    return results


def is_output(output: object) -> bool:
    """Whether this is an output of the agent, and not a list of calls that wait for an approval."""
    return not isinstance(output, DeferredToolRequests)


def set_output(outcome: RunOutcome, output: Any) -> None:
    """Record a run that ended by itself: with its output, or paused by calls that wait for an approval."""
    if not isinstance(output, DeferredToolRequests):
        outcome.status, outcome.output = RunStatus.COMPLETED, output
    elif output.calls:
        names = sorted({part.tool_name for part in output.calls})
        outcome.error = f"The tools {names!r} run outside of the agent, which is not supported: remove them."
    else:
        outcome.status = RunStatus.PAUSED
        outcome.pending = [
            PendingCall(part.tool_name, part.tool_call_id, part.args_as_dict()) for part in output.approvals
        ]


def set_error(outcome: RunOutcome, error: BaseException) -> None:
    """Record a run that ended with an exception."""
    outcome.cause = error
    outcome.error = without_secrets(str(error) or type(error).__name__)
    if isinstance(error, RunTimedOut):
        outcome.status = RunStatus.TIMEOUT
    elif isinstance(error, RunCancelled | asyncio.CancelledError | GeneratorExit):
        outcome.status, outcome.error = RunStatus.CANCELLED, "The run was cancelled."
    else:
        outcome.status = RunStatus.FAILED
        if type(error).__module__.partition(".")[0] != "pydantic_ai":
            outcome.error = f"{type(error).__name__}: {outcome.error}"


def set_messages(outcome: RunOutcome, messages: Sequence[ModelMessage], usage: RunUsage | None, earlier: int) -> None:
    """Record messages, usage and cost. The first ``earlier`` messages were paid for by an earlier run."""
    outcome.messages = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    answers = [each for each in messages[earlier:] if isinstance(each, ModelResponse)]
    outcome.requests = len(answers)
    if usage is None:
        outcome.input_tokens = sum(each.usage.input_tokens for each in answers)
        outcome.output_tokens = sum(each.usage.output_tokens for each in answers)
    else:
        outcome.input_tokens, outcome.output_tokens = usage.input_tokens, usage.output_tokens
    outcome.cost = _cost(answers)


def _cost(answers: Sequence[ModelResponse]) -> Decimal | None:
    """The sum, or None if the price of any answer is unknown: a part of the cost would pass for the whole."""
    if not answers or any(each.usage.cost is None for each in answers):
        return None
    return sum((each.usage.cost or Decimal(0) for each in answers), Decimal(0))
