"""One pydantic-ai agent, and its runs."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, lru_cache
from typing import Any, cast

from django.db import connections
from pydantic import PydanticUserError
from pydantic_ai import Agent, CancellationToken, capture_run_messages
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.result import StreamedRunResult
from pydantic_ai.run import AgentRunResultEvent
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.usage import UsageLimits

from pgknowbase.agents.engine.hooks import EventHook, RunHooks
from pgknowbase.agents.engine.models import model_label, open_model
from pgknowbase.agents.engine.results import (
    as_decisions,
    as_history,
    is_output,
    set_error,
    set_messages,
    set_output,
)
from pgknowbase.agents.engine.tools import adapt_function, as_tool, as_toolset
from pgknowbase.agents.runs.contract import RunOutcome, RunRequest, RunStatus
from pgknowbase.conf import get_settings
from pgknowbase.core.telemetry import active_provider
from pgknowbase.errors import AgentError


def make_engine(registered: Iterable[Callable[["Engine"], None]], **arguments: Any) -> "Engine":
    """An engine, with all that was registered; ``arguments`` are those of ``Engine``.

    Raises:
        AgentError: pydantic-ai does not take a tool, the output type or something else of it.
    """
    try:
        engine = Engine(**arguments)
        for register in registered:
            register(engine)
    except (UserError, PydanticUserError, NameError, TypeError, ValueError) as error:
        what = str(error).partition("\n")[0]
        raise AgentError(f"Agent {arguments['name']!r} cannot be made: {what} Correct its declaration.") from error
    return engine


class Engine:
    """Runs one agent. What is registered here is registered with pydantic-ai, adapted to Django."""

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
        self._settings = dict(model_settings or {})
        kinds = list(output_type) if isinstance(output_type, list | tuple) else [output_type]
        self.agent: Agent[Any, Any] = Agent(
            name=name,
            deps_type=deps_type,
            # Without DeferredToolRequests among its outputs a run cannot pause for an approval.
            output_type=[*kinds, DeferredToolRequests],
            instructions=adapt_function(instructions) if callable(instructions) else instructions,
            # The provider's client must not retry: RunHooks does, within the run's timeout and its own limit.
            model_settings=cast(ModelSettings, {"max_retries": 0, **self._settings}),
            tools=[as_tool(tool) for tool in tools],
            toolsets=[as_toolset(each) for each in toolsets],
        )

    is_output = staticmethod(is_output)
    model_label = staticmethod(model_label)

    async def check_model(self, model: Any) -> None:
        """Open a model without asking it.

        Raises:
            NoModelError: it cannot be reached with these settings.
        """
        async with open_model(model, self.agent.name or ""):
            pass

    def tool(self, function: Callable[..., Any], *, plain: bool, **options: Any) -> None:
        """Register a tool; ``plain`` for one that takes no context."""
        register = self.agent.tool_plain if plain else self.agent.tool
        register(**options)(adapt_function(function))

    def register(self, kind: str, function: Callable[..., Any]) -> None:
        """Register ``instructions`` or an ``output_validator``."""
        getattr(self.agent, kind)(adapt_function(function))

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run to the end. Whatever goes wrong is in the outcome and never raised, cancellation included."""
        outcome = RunOutcome(model=model_label(request.model))
        run = None
        earlier = len(request.history or ())
        try:
            async with (
                self._model_of(request) as model,
                self.agent.iter(request.prompt, **self._options(request, model)) as run,
            ):
                async for _ in run:
                    pass
            if run.result is None:
                raise RuntimeError("pydantic-ai ended the run without a result")
            set_output(outcome, run.result.output)
            if request.on_event is not None:
                await request.on_event(AgentRunResultEvent(run.result))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - however it ends, it is recorded
            set_error(outcome, error)
        if run is not None:
            set_messages(outcome, run.all_messages(), run.usage, earlier)
        return outcome

    @asynccontextmanager
    async def stream(self, request: RunRequest, outcome: RunOutcome) -> AsyncIterator[StreamedRunResult[Any, Any]]:
        """Run while the block lasts, and fill ``outcome`` at its end. Errors are recorded and raised too."""
        outcome.model = model_label(request.model)
        earlier = len(request.history or ())
        stream = None
        with capture_run_messages() as messages:
            try:
                async with (
                    self._model_of(request) as model,
                    self.agent.run_stream(request.prompt, **self._options(request, model)) as stream,
                ):
                    yield stream
                    if stream.is_complete:
                        set_output(outcome, await stream.get_output())
                    else:
                        outcome.status, outcome.error = RunStatus.CANCELLED, "The reader left before the end."
            except BaseException as error:
                set_error(outcome, error)
                raise
            finally:
                # The usage of a stream that broke off is not known to pydantic-ai: it is counted from the messages.
                set_messages(outcome, messages if stream is None else stream.all_messages(), None, earlier)

    @asynccontextmanager
    async def _model_of(self, request: RunRequest) -> AsyncIterator[Model]:
        with Agent.using_thread_executor(_threads()):
            async with open_model(request.model, self.agent.name or "") as model:
                yield model

    def _options(self, request: RunRequest, model: Model) -> dict[str, Any]:
        self.agent.instrument = instrumentation()
        token = CancellationToken()
        request.register_cancel(token.cancel)
        settings = dict(request.model_settings)
        if (most := self._settings.get("max_tokens")) and settings.get("max_tokens"):
            settings["max_tokens"] = min(most, settings["max_tokens"])
        return {
            "model": model,
            "deps": request.deps,
            "message_history": as_history(request),
            "deferred_tool_results": as_decisions(request),
            "timeout": request.timeout,
            "retries": request.retry.max_attempts - 1,
            "cancellation_token": token,
            "model_settings": cast(ModelSettings, settings) or None,
            "usage_limits": UsageLimits(
                request_limit=request.request_limit,
                total_tokens_limit=request.token_limit,
                cost_limit=request.cost_limit,
                tool_calls_limit=request.tool_calls_limit,
            ),
            "capabilities": [RunHooks(request), *([EventHook(request.on_event)] if request.on_event else [])],
        }


def instrumentation() -> InstrumentationSettings | None:
    """pydantic-ai's own spans of runs, requests and tool calls, where the project has set OpenTelemetry up.

    None leaves it to what the project has told pydantic-ai.
    """
    provider = active_provider()
    return None if provider is None else _instrumentation(provider, content=get_settings().telemetry.content)


@lru_cache(maxsize=2)
def _instrumentation(provider: Any, *, content: bool) -> InstrumentationSettings:
    return InstrumentationSettings(tracer_provider=provider, include_content=content, include_binary_content=content)


class ClosingExecutor(ThreadPoolExecutor):
    """Threads for the sync functions that pydantic-ai calls itself; none keeps a database connection.

    Django closes connections at the end of a request, in the request's thread. In these threads nobody would.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``function`` in a thread, then close the connections that it opened, or return them to their pool."""

        def call_and_close() -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                connections.close_all()

        return super().submit(call_and_close)


@cache
def _threads() -> ClosingExecutor:
    return ClosingExecutor(max_workers=32, thread_name_prefix="pgknowbase-agents-call")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork has none of the parent's threads
