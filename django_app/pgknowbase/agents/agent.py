"""``DjangoAgent``: an agent of pydantic-ai whose every run is a row."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.agents import on_change, registry
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.lazy_engine import LazyEngine
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.runnable import AgentResult, AgentStream, StepRef, require_sync
from pgknowbase.agents.runs import store
from pgknowbase.agents.runs.approval_requests import decisions_of
from pgknowbase.agents.runs.contract import HOW_TO_CONFIGURE, Permission, RunOutcome, RunRequest, RunStatus
from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.agents.runs.json_values import prompt_text, row_id, short_text
from pgknowbase.agents.runs.store import RunHandle
from pgknowbase.agents.tools import Toolset
from pgknowbase.conf import get_settings
from pgknowbase.errors import (
    AgentError,
    ApprovalNeededError,
    MissingExtraError,
    NoModelError,
    PgKnowbaseError,
    RunCancelledError,
    RunFailedError,
    RunTimeoutError,
)
from pgknowbase.reactions.change import Change

if find_spec("pydantic_ai") is None:
    raise MissingExtraError("Agents need pydantic-ai: run `pip install 'django-pgknowbase[agents]'`.")

Deps = TypeVar("Deps")
Output = TypeVar("Output")
Function = TypeVar("Function", bound=Callable[..., Any])


class DjangoAgent(Generic[Deps, Output]):
    """An agent. Declare it in the ``agents.py`` of an app::

        summarizer = DjangoAgent[DjangoDeps, str](name="summarizer", instructions="Summarize the text in a sentence.")
        result = await summarizer.run(text, deps=DjangoDeps.from_user(user))
        result.output, result.cost

    Args:
        name: its name in rows, commands and the registry.
        deps_type: the class of the ``deps`` that its tools get; with ``DjangoDeps`` rows know the user.
        output_type: what it answers with: ``str``, a pydantic model, or whatever pydantic-ai takes.
        instructions: a text, or a function that returns one for each run.
        model: such as ``"openai:gpt-4o-mini"``, a model of pydantic-ai, or None for ``AGENTS["MODEL"]``.
        timeout: seconds of a run, instead of ``AGENTS["TIMEOUT"]``.
        max_retries: of a request, of a tool call and of an invalid output, instead of ``AGENTS["RETRY"]``.
        description: one line for users who choose an agent.
        tools: functions, in addition to those registered with ``tool`` and ``tool_plain``.
        toolsets: see ``pgknowbase.agents.toolsets``.
        permissions: by tool name ``"allow"``, ``"deny"`` or ``"ask"``; a tool that is left out is allowed, or
            asks for approval where it is one of our tool sets that writes.
        model_settings: those of pydantic-ai, such as ``{"temperature": 0}``.
        prompt_for_change, deps_for_change, on_output: see ``run_for_change``.
        register: False keeps it out of the registry, as for an agent that exists for one test or one row.

    What pydantic-ai refuses, such as a tool with a parameter that has no JSON schema, is an ``AgentError`` of the first
    run, and of ``manage.py check --deploy``: pydantic-ai is not imported before.

    Raises:
        AgentError: the name, a tool, a tool set or a permission is wrong.
        ConfigurationError: another app declares an agent of that name.
    """

    def __init__(
        self,
        *,
        name: str,
        deps_type: type[Deps] | Any = DjangoDeps,
        output_type: type[Output] | Any = str,
        instructions: Any = None,
        model: Any = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        description: str = "",
        tools: Sequence[Any] = (),
        toolsets: Sequence[Any] = (),
        permissions: Mapping[str, Permission] | None = None,
        model_settings: dict[str, Any] | None = None,
        prompt_for_change: Callable[[Change], Any] | None = None,
        deps_for_change: Callable[[Change], Any] | None = None,
        on_output: Callable[[Change, Any], Any] | None = None,
        register: bool = True,
    ) -> None:
        registry.check_name(name)
        self.name = name
        self.description = description
        self.output_type = output_type
        self.model = model
        self.timeout = timeout
        self.max_retries = max_retries
        self.permissions = _check_permissions(name, permissions or {})
        self._hooks = on_change.ChangeHooks(
            prompt=prompt_for_change or on_change.default_prompt,
            deps=deps_for_change or on_change.anonymous_deps(name, deps_type),
            output=on_output,
        )
        self._engine = LazyEngine(
            name=name,
            deps_type=deps_type,
            output_type=output_type,
            instructions=instructions,
            model_settings=model_settings,
            tools=list(tools),
            toolsets=list(toolsets),
        )
        if not all(callable(each) or isinstance(each, Toolset) for each in [*tools, *toolsets]):
            self._engine.get()  # what is neither is pydantic-ai's, which is imported then, or wrong
        if register:
            registry.agents.declare(name, self)

    def __repr__(self) -> str:
        return f"DjangoAgent({self.name!r})"

    def model_name(self, model: Any = None) -> str:
        """The model that a run would ask, as ``provider:name``; ``model`` as in ``run``.

        Raises:
            NoModelError: neither the run, nor the agent, nor the settings name one.
        """
        chosen = self._chosen_model(model)
        return chosen if isinstance(chosen, str) else self._engine.get().model_label(chosen)

    def check_declaration(self) -> None:
        """Make what runs it, as its first run does.

        Raises:
            AgentError: pydantic-ai does not take a tool, the output type or something else of it.
        """
        self._engine.get()

    async def check_model(self) -> None:
        """Open the model that a run would ask, without asking it.

        Raises:
            NoModelError: there is none, or its key, its package or its provider is missing; the message names it.
        """
        await (await self._engine.aget()).check_model(self._chosen_model(None))

    # Registering tools and hooks

    @overload
    def tool(self, function: Function, /) -> Function: ...
    @overload
    def tool(self, /, **options: Any) -> Callable[[Function], Function]: ...
    def tool(self, function: Any = None, /, **options: Any) -> Any:
        """Register a tool whose first argument is a ``RunContext``; ``options`` are those of pydantic-ai's ``tool``."""
        return _decorator(
            function, lambda each: self._engine.register(lambda engine: engine.tool(each, plain=False, **options))
        )

    @overload
    def tool_plain(self, function: Function, /) -> Function: ...
    @overload
    def tool_plain(self, /, **options: Any) -> Callable[[Function], Function]: ...
    def tool_plain(self, function: Any = None, /, **options: Any) -> Any:
        """Register a tool that takes no context."""
        return _decorator(
            function, lambda each: self._engine.register(lambda engine: engine.tool(each, plain=True, **options))
        )

    def instructions(self, function: Function, /) -> Function:
        """Register a function that returns instructions for each run."""
        self._engine.register(lambda engine: engine.register("instructions", function))
        return function

    def output_validator(self, function: Function, /) -> Function:
        """Register a function that checks an output, and may raise pydantic-ai's ``ModelRetry`` to ask for another."""
        self._engine.register(lambda engine: engine.register("output_validator", function))
        return function

    def on_output(self, function: Function, /) -> Function:
        """Register the function, sync or async, that gets the change and the output after a run for a change."""
        self._hooks.output = function
        return function

    # Running

    async def run(
        self,
        prompt: str,
        *,
        deps: Deps | None = None,
        model: Any = None,
        timeout: float | None = None,
        message_history: list[Any] | None = None,
        model_settings: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        step: StepRef | None = None,
        on_event: Callable[[Any], Awaitable[None]] | None = None,
    ) -> AgentResult[Output]:
        """Run it to the end. Its row is committed as RUNNING before the provider is asked.

        Args:
            prompt: what the user asks.
            deps: what tools get as ``ctx.deps``; of ``DjangoDeps`` the row takes the user.
            model: instead of the agent's.
            timeout: seconds, instead of the agent's.
            message_history: ``messages`` of an earlier result, which this run continues.
            model_settings: those of pydantic-ai, over the agent's own; ``max_tokens`` lowers and never raises.
            idempotency_key: kept on the row; the database refuses a second run of the agent with that key that is
                active or completed.
            step: the step of a workflow that the run belongs to.
            on_event: an async function that gets pydantic-ai's events while they come, ``AgentRunResultEvent`` last.

        Raises:
            NoModelError: no model is configured, or it cannot be reached with these settings.
            BudgetExceededError: nothing was sent and no row is written.
            ApprovalNeededError: the run is paused until a person decides on a tool call.
            RunTimeoutError, RunCancelledError, RunFailedError: see the row ``error.execution_id``.
        """
        run = await self._start(prompt, deps, model=model, step=step, key=idempotency_key)
        return await self._execute(
            run,
            prompt,
            deps,
            model=model,
            timeout=timeout,
            history=message_history,
            model_settings=model_settings,
            on_event=on_event,
        )

    def run_sync(self, prompt: str, **options: Any) -> AgentResult[Output]:
        """``run`` for sync code. Tools and hooks use the database connection of the caller.

        Raises:
            AgentError: it was called in async code.
        """
        require_sync(f"run_sync() of agent {self.name!r}", instead="await agent.run(...)")
        return async_to_sync(self.run)(prompt, **options)

    @asynccontextmanager
    async def run_stream(
        self,
        prompt: str,
        *,
        deps: Deps | None = None,
        model: Any = None,
        timeout: float | None = None,
        message_history: list[Any] | None = None,
        model_settings: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[AgentStream[Output]]:
        """Run it and read the answer while it is written. Leaving the block early cancels the run.

        Arguments and errors are those of ``run``; errors are raised at the end of the block, or where the answer is
        read.
        """
        run = await self._start(prompt, deps, model=model, step=None)
        execution_id, outcome = run.execution.pk, RunOutcome()
        try:
            with heartbeat.run(execution_id) as register_cancel:
                request = self._request(
                    run,
                    prompt,
                    deps,
                    model,
                    timeout,
                    message_history,
                    model_settings=model_settings,
                    register_cancel=register_cancel,
                )
                engine = self._engine.get()
                async with engine.stream(request, outcome) as stream:
                    yield AgentStream(stream, execution_id, is_output=engine.is_output)
        except Exception as error:
            # The reader's own errors pass as they are; those of pydantic-ai become ours.
            if type(error).__module__.partition(".")[0] == "pydantic_ai":
                raise self._error(execution_id, outcome) from error
            raise
        finally:
            await _finish(run, outcome)
        if outcome.status is RunStatus.PAUSED:
            raise self._error(execution_id, outcome)

    async def stream(self, prompt: str, **options: Any) -> AsyncIterator[str]:
        """The new pieces of the answer's text as they come; options are those of ``run_stream``."""
        async with self.run_stream(prompt, **options) as answer:
            async for piece in answer.stream_text(delta=True):
                yield piece

    async def resume(
        self, execution_id: UUID, *, deps: Deps | None = None, on_event: Callable[[Any], Awaitable[None]] | None = None
    ) -> AgentResult[Output] | None:
        """Do a pending run: one of the background, or one whose requests for approval are all decided.

        ``deps``: by default ``DjangoDeps`` of the row's user and session data. Returns None if the run is not pending,
        or another process has claimed it. Raises as ``run``.
        """
        key = row_id("a run", execution_id)
        await self._engine.aget()  # one that is wrong leaves the run pending
        run = await sync_to_async(store.resume)(key)
        if run is None:
            return None
        row = run.execution
        decisions = await sync_to_async(decisions_of)(row)
        known: Any = DjangoDeps(user_id=row.user_id, session_data=row.session_data) if deps is None else deps
        # With decisions the paused conversation is continued; without, the run starts from its prompt.
        prompt, history = (None, row.messages) if decisions else (row.input_prompt, None)
        return await self._execute(run, prompt, known, history=history, decisions=decisions, on_event=on_event)

    async def run_for_change(self, change: Change) -> Output:
        """Run it for a change of a row, once per ``idempotency_key``, and pass the output to ``on_output``.

        ``on_change(Model)(agent)`` calls this. ``prompt_for_change`` makes the prompt, by default from the row's
        content; ``deps_for_change`` makes the deps, by default those of an anonymous visitor. See
        docs/reactions.md#agents.

        Raises:
            TryLaterError: a budget is used up, a person has to decide, or another process is doing the run.
            ReactionCancelledError: a person has cancelled the run.
        """
        output: Output = await on_change.react(self, self._hooks, change)
        return output

    # The parts of a run

    async def _start(self, prompt: str, deps: Any, *, model: Any, step: StepRef | None, key: str = "") -> RunHandle:
        row = AgentExecution(
            agent_name=self.name,
            user_id=getattr(deps, "user_id", None),
            model=self.model_name(model),
            input_prompt=prompt_text(prompt),
            idempotency_key=short_text("The idempotency_key", key),
            workflow_id=step.workflow_id if step else None,
            order=step.order if step else None,
            step=step.path if step else "",
        )
        await self._engine.aget()  # an agent that is wrong leaves no row
        starting = asyncio.ensure_future(sync_to_async(store.start)(row))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread writes the row all the same. Nobody else knows of it, so it is ended here.
            await _finish(await starting, RunOutcome(status=RunStatus.CANCELLED, error="The run was cancelled."))
            raise

    async def _execute(
        self,
        run: RunHandle,
        prompt: str | None,
        deps: Any,
        *,
        model: Any = None,
        timeout: float | None = None,
        history: list[Any] | None = None,
        decisions: Mapping[str, bool | str] | None = None,
        model_settings: Mapping[str, Any] | None = None,
        on_event: Callable[[Any], Awaitable[None]] | None = None,
    ) -> AgentResult[Output]:
        execution_id = run.execution.pk
        with heartbeat.run(execution_id) as register_cancel:
            request = self._request(
                run,
                prompt,
                deps,
                model,
                timeout,
                history,
                decisions,
                model_settings=model_settings,
                register_cancel=register_cancel,
                on_event=on_event,
            )
            outcome = await self._engine.get().run(request)
        await _finish(run, outcome)
        if outcome.status is not RunStatus.COMPLETED:
            raise self._error(execution_id, outcome) from outcome.cause
        row = run.execution
        return AgentResult(
            output=outcome.output,
            execution_id=execution_id,
            execution_time=row.execution_time or run.seconds,
            tokens_used=row.tokens_used or outcome.tokens_used,
            cost=row.cost,
            messages=outcome.messages,
        )

    def _request(
        self,
        run: RunHandle,
        prompt: str | None,
        deps: Any,
        model: Any,
        timeout: float | None,
        history: list[Any] | None = None,
        decisions: Mapping[str, bool | str] | None = None,
        *,
        model_settings: Mapping[str, Any] | None = None,
        register_cancel: Any,
        on_event: Callable[[Any], Awaitable[None]] | None = None,
    ) -> RunRequest:
        settings = get_settings().agents
        retry = settings.retry
        if self.max_retries is not None:
            retry = retry.model_copy(update={"max_attempts": self.max_retries + 1})
        token_limits = [limit for limit in (settings.token_limit, run.budget.tokens) if limit is not None]
        return RunRequest(
            prompt=prompt,
            deps=deps,
            model=self._chosen_model(model),
            journal=store.RowJournal(run.execution.pk),
            timeout=timeout or self.timeout or settings.timeout,
            retry=retry,
            request_limit=settings.request_limit,
            token_limit=min(token_limits, default=None),
            cost_limit=run.budget.cost,
            tool_calls_limit=settings.tool_calls_limit,
            history=history,
            decisions=decisions,
            permissions=self.permissions,
            model_settings=dict(model_settings or {}),
            register_cancel=register_cancel,
            on_event=on_event,
        )

    def _chosen_model(self, model: Any) -> Any:
        chosen = model or self.model or get_settings().agents.model
        if not chosen:
            raise NoModelError(f"Agent {self.name!r} has no model: {HOW_TO_CONFIGURE}.")
        return chosen

    def _error(self, execution_id: UUID, outcome: RunOutcome) -> BaseException:
        """The exception for a run that did not complete; errors of our own, as of a tool, are raised as they are."""
        if isinstance(outcome.cause, PgKnowbaseError | asyncio.CancelledError):
            return outcome.cause
        if outcome.status is RunStatus.PAUSED:
            names = ", ".join(sorted({repr(call.tool_name) for call in outcome.pending}))
            return ApprovalNeededError(
                f"Agent {self.name!r} waits for approval of {names}: decide on the requests of {execution_id}.",
                execution_id=execution_id,
            )
        kinds = {RunStatus.TIMEOUT: RunTimeoutError, RunStatus.CANCELLED: RunCancelledError}
        kind = kinds.get(outcome.status, RunFailedError)
        return kind(f"Agent {self.name!r}: {outcome.error} See execution {execution_id}.", execution_id=execution_id)


async def _finish(run: RunHandle, outcome: RunOutcome) -> None:
    # Shielded: a second cancellation must not leave the row RUNNING.
    await asyncio.shield(sync_to_async(store.finish)(run, outcome))


def _decorator(function: Any, register: Callable[[Any], None]) -> Any:
    """Serve ``@agent.tool`` and ``@agent.tool(...)`` alike; the function stays what it was."""

    def decorate(each: Function) -> Function:
        register(each)
        return each

    return decorate if function is None else decorate(function)


def _check_permissions(name: str, permissions: Mapping[str, Permission]) -> Mapping[str, Permission]:
    for tool, permission in permissions.items():
        if permission not in ("allow", "deny", "ask"):
            raise AgentError(f"Agent {name!r}: permission {permission!r} of {tool!r}: write 'allow', 'deny' or 'ask'.")
    return permissions
