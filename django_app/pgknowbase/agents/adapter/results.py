"""From what pydantic-ai says to an ``Outcome``."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Union

from pydantic import PydanticUserError, TypeAdapter
from pydantic_ai.exceptions import RunCancelled, RunTimedOut
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.usage import RunUsage

from pgknowbase.agents.adapter.models import without_secrets
from pgknowbase.agents.outcome import Call, End, Outcome, PendingCall


def history(call: Call) -> list[ModelMessage] | None:
    """The messages that a run goes on from."""
    return None if call.history is None else ModelMessagesTypeAdapter.validate_python(call.history)


def decisions(call: Call) -> DeferredToolResults | None:
    """What people said of the calls that wait."""
    if call.decisions is None:
        return None
    results = DeferredToolResults()
    for key, said in call.decisions.items():
        results.approvals[key] = ToolDenied(said) if isinstance(said, str) else said
    return results


def is_request(output: object) -> bool:
    """Whether this stands for calls that a person has to allow, instead of an output."""
    return isinstance(output, DeferredToolRequests)


def take_output(outcome: Outcome, output: Any) -> None:
    """The run ended by itself: with its output, or with calls that a person has to allow."""
    if not isinstance(output, DeferredToolRequests):
        outcome.end, outcome.output = End.COMPLETED, output
    elif output.calls:
        names = sorted({part.tool_name for part in output.calls})
        outcome.error = f"The tools {names!r} are to be run outside of the agent, which is not supported: remove them."
    else:
        outcome.end = End.PAUSED
        outcome.pending = [
            PendingCall(part.tool_name, part.tool_call_id, part.args_as_dict()) for part in output.approvals
        ]


def restored(output_type: Any, data: Any) -> Any:
    """An output as it was before it was recorded as JSON; JSON where its type is none of pydantic's."""
    kinds = output_type if isinstance(output_type, list | tuple) else [output_type]
    # A marker of pydantic-ai, such as ToolOutput, holds the type.
    types: Any = tuple(kind if isinstance(kind, type) else getattr(kind, "output", kind) for kind in kinds)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(Union[types])  # noqa: UP007
    except (TypeError, PydanticUserError):  # such as a function that takes the output
        return data
    return adapter.validate_python(data)


def take_error(outcome: Outcome, error: BaseException) -> None:
    """The run ended with an exception."""
    outcome.cause = error
    outcome.error = without_secrets(str(error) or type(error).__name__)
    if isinstance(error, RunTimedOut):
        outcome.end = End.TIMEOUT
    elif isinstance(error, RunCancelled | asyncio.CancelledError | GeneratorExit):
        outcome.end, outcome.error = End.CANCELLED, "The run was cancelled."
    else:
        outcome.end = End.FAILED
        if type(error).__module__.partition(".")[0] != "pydantic_ai":
            outcome.error = f"{type(error).__name__}: {outcome.error}"


def take_messages(outcome: Outcome, messages: Sequence[ModelMessage], usage: RunUsage | None, known: int) -> None:
    """Messages and what they cost; the first ``known`` are of an earlier run."""
    outcome.messages = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    answers = [each for each in messages[known:] if isinstance(each, ModelResponse)]
    outcome.requests = len(answers)
    if usage is None:
        outcome.input_tokens = sum(each.usage.input_tokens for each in answers)
        outcome.output_tokens = sum(each.usage.output_tokens for each in answers)
    else:
        outcome.input_tokens, outcome.output_tokens = usage.input_tokens, usage.output_tokens
    outcome.cost = _cost(answers)


def _cost(answers: Sequence[ModelResponse]) -> Decimal | None:
    """The sum, or None if the price of any answer is unknown: part of a cost looks like all of it."""
    if not answers or any(each.usage.cost is None for each in answers):
        return None
    return sum((each.usage.cost or Decimal(0) for each in answers), Decimal(0))
