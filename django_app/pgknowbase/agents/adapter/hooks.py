"""What we add to each run: rows of tool calls, permissions, retries of requests."""

import asyncio
import logging
from collections.abc import Callable
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
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import ToolDefinition

from pgknowbase.agents.adapter.models import without_secrets
from pgknowbase.agents.outcome import Call
from pgknowbase.errors import ToolRefusedError

logger = logging.getLogger("pgknowbase.agents")

# What may succeed when it is sent again.
PASSING = (ModelConnectionError, ModelRateLimitError, ModelServerError, ModelUnavailableError)
LONGEST_WAIT = 60.0


def is_passing(error: Exception) -> bool:
    """Whether the provider may answer the same request later."""
    unreadable = isinstance(error, ModelAPIError) and isinstance(error.__cause__, JSONDecodeError)
    return unreadable or isinstance(error, PASSING)


@dataclass
class RunHooks(AbstractCapability[Any]):
    """The hooks of one run."""

    call: Call

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Send the request again after a fault that passes: no tool runs twice for it."""
        if not is_passing(error) or request_context.attempt > self.call.max_retries:
            raise error
        delay = min(self.call.retry_delay * 2 ** (request_context.attempt - 1), LONGEST_WAIT)
        asked = error.retry_after if isinstance(error, ModelAPIError) else None
        remaining = ctx.remaining_time()
        wait = max(delay, asked or 0)
        if remaining is not None and wait >= remaining:
            raise error
        logger.warning("the provider failed, again in %.1f s: %s", wait, without_secrets(str(error)))
        await asyncio.sleep(wait)
        raise RetryModelRequest from error

    async def prepare_tools(self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]) -> list[ToolDefinition]:
        """The model is not shown what it may not call."""
        return [each for each in tool_defs if self.call.permissions.get(each.name) != "deny"]

    async def on_tool_validate_error(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Any,
        error: ValidationError | ModelRetry,
    ) -> dict[str, Any]:
        """A row of a call that its tool does not take; the model is told why and may call again."""
        row = await self.call.journal.tool_started(call.tool_name, call.tool_call_id, call.args_as_dict())
        await self.call.journal.tool_ended(row, "REFUSED", error=_reason(error))
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
        """A row before the tool runs, and what came of it after."""
        journal = self.call.journal
        row = await journal.tool_started(call.tool_name, call.tool_call_id, args)
        try:
            self._permit(ctx, tool_def)
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
            await asyncio.shield(journal.tool_ended(row, "FAILED", error="The run was stopped."))
            raise
        await journal.tool_ended(row, "COMPLETED", result=result)
        return result

    def _permit(self, ctx: RunContext[Any], tool_def: ToolDefinition) -> None:
        permission = self.call.permissions.get(tool_def.name, "allow")
        if permission == "deny":
            raise ToolRefusedError(f"The tool {tool_def.name!r} is not allowed here: answer without it.")
        if permission == "ask" and not ctx.tool_call_approved:
            raise ApprovalRequired


def _reason(error: ValidationError | ModelRetry) -> str:
    if isinstance(error, ModelRetry):
        return error.message
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors())
