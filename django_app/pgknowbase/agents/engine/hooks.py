"""What we add to each run of pydantic-ai: retries of requests, permissions of tools, and rows of tool calls."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_ai import ApprovalRequired, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelRateLimitError,
    ModelRetry,
    ModelServerError,
    ModelUnavailableError,
    RetryModelRequest,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
from pydantic_ai.messages import AgentStreamEvent, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import ToolDefinition

from pgknowbase.agents.engine.tools import default_permission
from pgknowbase.agents.runs.contract import RunRequest
from pgknowbase.core.backoff import exponential_backoff
from pgknowbase.core.secrets import without_secrets
from pgknowbase.errors import ToolRefusedError

logger = logging.getLogger("pgknowbase.agents")

# Errors after which the same request may succeed.
TRANSIENT = (ModelConnectionError, ModelRateLimitError, ModelServerError, ModelUnavailableError)


def is_transient(error: Exception) -> bool:
    """Whether the provider may answer the same request later.

    An answer that is not JSON counts too: it is the error page of a proxy rather than an answer of the model.
    """
    unreadable = isinstance(error, ModelAPIError) and isinstance(error.__cause__, JSONDecodeError)
    return unreadable or isinstance(error, TRANSIENT)


@dataclass
class EventHook(AbstractCapability[Any]):
    """Passes the events of one run on while they come. With it pydantic-ai asks the model for a stream."""

    send: Callable[[Any], Awaitable[None]]

    async def wrap_run_event_stream(
        self, ctx: RunContext[Any], *, stream: AsyncIterable[AgentStreamEvent]
    ) -> AsyncIterator[AgentStreamEvent]:
        """Every event goes to ``send`` and then to whoever reads the run."""
        async for event in stream:
            await self.send(event)
            yield event


@dataclass
class RunHooks(AbstractCapability[Any]):
    """The hooks of one run."""

    request: RunRequest

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Retry the request after a transient error. Only the request is repeated, so no tool runs twice for it."""
        if not is_transient(error) or request_context.attempt >= self.request.retry.max_attempts:
            raise error
        retry = self.request.retry
        delay = exponential_backoff(request_context.attempt, delay=retry.delay, max_delay=retry.max_delay)
        retry_after = error.retry_after if isinstance(error, ModelAPIError) else None
        remaining = ctx.remaining_time()
        wait = max(delay, retry_after or 0)
        # Waiting past the run's timeout would replace the provider's error by a mere timeout.
        if remaining is not None and wait >= remaining:
            raise error
        logger.warning("the provider failed, retry in %.1f s: %s", wait, without_secrets(str(error)))
        await asyncio.sleep(wait)
        raise RetryModelRequest from error

    async def prepare_tools(self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]) -> list[ToolDefinition]:
        """Hide denied tools from the model: what it does not see costs no tokens and no refused call."""
        return [each for each in tool_defs if self.request.permissions.get(each.name) != "deny"]

    async def on_tool_validate_error(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Any,
        error: ValidationError | ModelRetry,
    ) -> dict[str, Any]:
        """Record a call whose arguments do not fit the tool; the model gets the reason and may correct the call."""
        row = await self.request.journal.tool_started(call.tool_name, call.tool_call_id, call.args_as_dict())
        await self.request.journal.tool_ended(row, "REFUSED", error=_reason(error))
        raise error

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Any],
    ) -> Any:
        """Record the call before the tool runs, and its result or error afterwards."""
        journal = self.request.journal
        row = await journal.tool_started(call.tool_name, call.tool_call_id, args)
        try:
            self._check_permission(ctx, tool_def)
            result = await handler(args)
        except ApprovalRequired:
            await journal.tool_ended(row, "WAITING")
            raise
        except ToolRefusedError as error:
            await journal.tool_ended(row, "REFUSED", error=str(error))
            raise ToolFailed(str(error)) from error
        except (ToolRetryError, ToolFailedError, Exception) as error:
            await journal.tool_ended(row, "FAILED", error=without_secrets(f"{type(error).__name__}: {error}"))
            raise
        except asyncio.CancelledError:
            # The run is being torn down: without the shield the row would stay RUNNING.
            await asyncio.shield(journal.tool_ended(row, "FAILED", error="The run was stopped."))
            raise
        await journal.tool_ended(row, "COMPLETED", result=result)
        return result

    def _check_permission(self, ctx: RunContext[Any], tool_def: ToolDefinition) -> None:
        permission = self.request.permissions.get(tool_def.name) or default_permission(tool_def.metadata)
        if permission == "deny":
            raise ToolRefusedError(f"The tool {tool_def.name!r} is not allowed here: answer without it.")
        if permission == "ask" and not ctx.tool_call_approved:
            raise ApprovalRequired


def _reason(error: ValidationError | ModelRetry) -> str:
    if isinstance(error, ModelRetry):
        return error.message
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors())
