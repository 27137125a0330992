"""One pydantic-ai agent, and its runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from pydantic_ai import Agent, CancellationToken, capture_run_messages
from pydantic_ai.models import Model
from pydantic_ai.result import StreamedRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.usage import UsageLimits

from pgknowbase.agents.adapter.context import adapted
from pgknowbase.agents.adapter.hooks import RunHooks
from pgknowbase.agents.adapter.models import model_label, opened
from pgknowbase.agents.adapter.results import decisions, history, take_error, take_messages, take_output
from pgknowbase.agents.adapter.threads import threads
from pgknowbase.agents.adapter.tools import checked, made
from pgknowbase.agents.outcome import Call, End, Outcome


class Engine:
    """Runs of one agent; what is registered here is pydantic-ai's, with our context."""

    def __init__(
        self,
        *,
        name: str,
        deps_type: Any,
        output_type: Any,
        instructions: Any,
        model_settings: dict[str, Any] | None,
        tools: Sequence[Any],
        toolsets: Sequence[AbstractToolset[Any]],
    ) -> None:
        kinds = list(output_type) if isinstance(output_type, list | tuple) else [output_type]
        self.agent: Agent[Any, Any] = Agent(
            name=name,
            deps_type=deps_type,
            output_type=[*kinds, DeferredToolRequests],
            instructions=adapted(instructions) if callable(instructions) else instructions,
            # Requests are sent again by our own hook, which knows the run's timeout and limit.
            model_settings=cast(ModelSettings, {"max_retries": 0, **(model_settings or {})}),
            tools=[made(tool) for tool in tools],
            toolsets=[checked(each) for each in toolsets],
        )

    def tool(self, function: Callable[..., Any], *, plain: bool, **options: Any) -> None:
        """Register a tool; ``plain``: it takes no context."""
        register = self.agent.tool_plain if plain else self.agent.tool
        register(**options)(adapted(function))

    def register(self, kind: str, function: Callable[..., Any]) -> None:
        """Register ``instructions``, a ``system_prompt`` or an ``output_validator``."""
        getattr(self.agent, kind)(adapted(function))

    async def run(self, call: Call) -> Outcome:
        """Run to the end; what goes wrong is in the outcome, never raised."""
        outcome = Outcome(model=model_label(call.model))
        run = None
        known = len(call.history or ())
        try:
            async with self._opened(call) as model, self.agent.iter(call.prompt, **_options(call, model)) as run:
                async for _ in run:
                    pass
            if run.result is None:
                raise RuntimeError("pydantic-ai ended the run without a result")
            take_output(outcome, run.result.output)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any ending is recorded
            take_error(outcome, error)
        if run is not None:
            take_messages(outcome, run.all_messages(), run.usage, known)
        return outcome

    @asynccontextmanager
    async def stream(self, call: Call, outcome: Outcome) -> AsyncIterator[StreamedRunResult[Any, Any]]:
        """Run while the block lasts; afterwards ``outcome`` says what came of it. Errors are raised too."""
        outcome.model = model_label(call.model)
        known = len(call.history or ())
        stream = None
        with capture_run_messages() as messages:
            try:
                async with (
                    self._opened(call) as model,
                    self.agent.run_stream(call.prompt, **_options(call, model)) as stream,
                ):
                    yield stream
                    if stream.is_complete:
                        take_output(outcome, await stream.get_output())
                    else:
                        outcome.end, outcome.error = End.CANCELLED, "The reader left before the end."
            except BaseException as error:
                take_error(outcome, error)
                raise
            finally:
                take_messages(outcome, messages if stream is None else stream.all_messages(), None, known)

    @asynccontextmanager
    async def _opened(self, call: Call) -> AsyncIterator[Model]:
        with Agent.using_thread_executor(threads()):
            async with opened(call.model, self.agent.name or "") as model:
                yield model


def _options(call: Call, model: Model) -> dict[str, Any]:
    token = CancellationToken()
    call.on_cancel(token.cancel)
    return {
        "model": model,
        "deps": call.deps,
        "message_history": history(call),
        "deferred_tool_results": decisions(call),
        "timeout": call.timeout,
        "retries": call.max_retries,
        "cancellation_token": token,
        "usage_limits": UsageLimits(
            request_limit=call.request_limit,
            total_tokens_limit=call.token_limit,
            cost_limit=call.cost_limit,
            tool_calls_limit=call.tool_calls_limit,
        ),
        "capabilities": [RunHooks(call)],
    }
