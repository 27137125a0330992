"""``DjangoAgent``: an agent of pydantic-ai whose every run is a row."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.agents import reacting, registry
from pgknowbase.agents.adapter import Engine, model_label
from pgknowbase.agents.adapter.models import HOW
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.outcome import Call, End, Outcome, Permission, Place
from pgknowbase.agents.result import AgentResult, AgentStream
from pgknowbase.agents.synchronous import check_sync
from pgknowbase.conf import get_settings
from pgknowbase.errors import (
    AgentError,
    ApprovalNeededError,
    NoModelError,
    PgKnowbaseError,
    RunCancelledError,
    RunFailedError,
    RunTimeoutError,
)

if TYPE_CHECKING:
    from pgknowbase.reactions import Change

Deps = TypeVar("Deps")
Output = TypeVar("Output")
Function = TypeVar("Function", bound=Callable[..., Any])


class DjangoAgent(Generic[Deps, Output]):
    """An agent. Declare it in the ``agents.py`` of an app, as ``DjangoAgent[Deps, Output](name=..., ...)``.

    Args:
        name: its name in rows, commands and the registry.
        deps_type: the class of what its tools are told; with ``DjangoDeps`` rows know the user.
        output_type: what it answers with: ``str``, a pydantic model, or whatever pydantic-ai takes.
        instructions: a text, or a function that makes one.
        model: such as ``"openai:gpt-4o-mini"``, a model of pydantic-ai, or None for ``AGENTS["MODEL"]``.
        timeout: seconds of a run, instead of ``AGENTS["TIMEOUT"]``.
        max_retries: of a request to the provider, of a tool call and of an invalid answer, instead of ``AGENTS``'.
        tools: functions, besides those of ``tool`` and ``tool_plain``.
        toolsets: see ``pgknowbase.agents.toolsets``.
        permissions: by the tool's name ``"allow"``, ``"deny"`` or ``"ask"``; left out, a tool is allowed.
        model_settings: of pydantic-ai, such as ``{"temperature": 0}``.
        prompt_for_change, deps_for_change, on_output: for ``on_change``; see ``run_for_change``.
        register: whether the registry knows it.
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
        prompt_for_change: Callable[["Change"], Any] | None = None,
        deps_for_change: Callable[["Change"], Any] | None = None,
        on_output: Callable[["Change", Any], Any] | None = None,
        register: bool = True,
    ) -> None:
        registry.check_name(name)
        self.name = name
        self.description = description
        self.output_type = output_type
        self.model = model
        self.timeout = timeout
        self.max_retries = max_retries
        self.permissions = _checked(name, permissions or {})
        self._hooks = reacting.Hooks(
            prompt=prompt_for_change or reacting.prompt_for,
            deps=deps_for_change or reacting.deps_of(name, deps_type),
            output=on_output,
        )
        self._engine = Engine(
            name=name,
            deps_type=deps_type,
            output_type=output_type,
            instructions=instructions,
            model_settings=model_settings,
            tools=tools,
            toolsets=toolsets,
        )
        if register:
            registry.register(self)

    def model_name(self, model: Any = None) -> str:
        """The model that a run would ask, as ``provider:name``.

        Raises:
            NoModelError: there is none.
        """
        return model_label(self._model(model))

    def __repr__(self) -> str:
        return f"DjangoAgent({self.name!r})"

    # What it is made of

    @overload
    def tool(self, function: Function, /) -> Function: ...
    @overload
    def tool(self, /, **options: Any) -> Callable[[Function], Function]: ...
    def tool(self, function: Any = None, /, **options: Any) -> Any:
        """Register a tool whose first argument is a ``RunContext``; ``options`` are those of pydantic-ai's ``tool``."""
        return self._registering(function, lambda each: self._engine.tool(each, plain=False, **options))

    @overload
    def tool_plain(self, function: Function, /) -> Function: ...
    @overload
    def tool_plain(self, /, **options: Any) -> Callable[[Function], Function]: ...
    def tool_plain(self, function: Any = None, /, **options: Any) -> Any:
        """Register a tool that takes no context."""
        return self._registering(function, lambda each: self._engine.tool(each, plain=True, **options))

    def instructions(self, function: Function, /) -> Function:
        """Register a function that makes instructions for each run."""
        self._engine.register("instructions", function)
        return function

    def output_validator(self, function: Function, /) -> Function:
        """Register a function that checks an output and may raise pydantic-ai's ``ModelRetry``."""
        self._engine.register("output_validator", function)
        return function

    def on_output(self, function: Function, /) -> Function:
        """Register what is called with the change and the output, after a run for a change; sync or async."""
        self._hooks.output = function
        return function

    # Running it

    async def run(
        self,
        prompt: str,
        *,
        deps: Deps | None = None,
        model: Any = None,
        timeout: float | None = None,
        message_history: list[Any] | None = None,
        idempotency_key: str = "",
        place: Place | None = None,
    ) -> AgentResult[Output]:
        """Run it; its row is there, RUNNING and committed, before the provider is asked.

        ``message_history``: ``messages`` of an earlier result, to go on from. ``place``: of a step in a workflow.
        ``idempotency_key``: kept on the row; the database refuses a second one under way or completed.

        Raises:
            NoModelError: no model is configured, or it cannot be reached as the settings are.
            BudgetExceededError: nothing was asked and no row is written.
            ApprovalNeededError: it is paused until a person decides.
            RunTimeoutError, RunCancelledError, RunFailedError: with ``execution_id``.
        """
        begun = await self._begin(prompt, deps, model=model, place=place, key=idempotency_key)
        return await self._work(begun, prompt, deps, model=model, timeout=timeout, history=message_history)

    def run_sync(self, prompt: str, **options: Any) -> AgentResult[Output]:
        """``run`` for sync code. Tools and hooks ask the database on the caller's connection.

        Raises:
            AgentError: in async code.
        """
        check_sync(f"run_sync() of agent {self.name!r}", "await agent.run(...)")
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
    ) -> AsyncIterator[AgentStream[Output]]:
        """Run it and read the answer while it comes; a block that is left early cancels the run."""
        from pgknowbase.agents.recording.heartbeat import heart

        begun = await self._begin(prompt, deps, model=model, place=None)
        execution, outcome = begun.execution, Outcome()
        try:
            with heart.run(execution.pk) as leave:
                call = self._call(begun, prompt, deps, model, timeout, history=message_history, on_cancel=leave)
                async with self._engine.stream(call, outcome) as stream:
                    yield AgentStream(stream, execution.pk)
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "pydantic_ai":
                raise self._error(execution.pk, outcome) from error
            raise
        finally:
            await self._end(begun, outcome)
        if outcome.end is End.PAUSED:
            raise self._error(execution.pk, outcome)

    async def stream(self, prompt: str, **options: Any) -> AsyncIterator[str]:
        """The text of the answer, piece by piece; options as ``run_stream``."""
        async with self.run_stream(prompt, **options) as answer:
            async for piece in answer.stream_text(delta=True):
                yield piece

    async def go_on(self, execution_id: UUID, *, deps: Deps | None = None) -> AgentResult[Output] | None:
        """Do a run that waits: one in the background, or one whose requests for approval are all decided.

        None if it does not wait, or if somebody else does it already. Raises as ``run``.
        """
        from pgknowbase.agents.recording import rows
        from pgknowbase.agents.recording.approvals import decisions_of
        from pgknowbase.agents.recording.values import row_id

        begun = await sync_to_async(rows.resume)(row_id("a run", execution_id))
        if begun is None:
            return None
        row = begun.execution
        decisions = await sync_to_async(decisions_of)(row)
        known: Any = DjangoDeps(user_id=row.user_id, session_data=row.session_data) if deps is None else deps
        prompt, history = (None, row.messages) if decisions else (row.input_prompt, None)
        return await self._work(begun, prompt, known, history=history, decisions=decisions)

    async def run_for_change(self, change: "Change") -> Output:
        """Run it for a change of a row, once for each ``idempotency_key``, and give the output to ``on_output``.

        It is what ``on_change(Model)(agent)`` calls; docs/reactions.md#agents says what is asked, and as whom.

        Raises:
            TryLaterError: a budget is used up, a person has to decide, or another process is at it.
        """
        output: Output = await reacting.react(self, self._hooks, change)
        return output

    # The parts of a run

    async def _begin(self, prompt: str, deps: Any, *, model: Any, place: Place | None, key: str = "") -> Any:
        from pgknowbase.agents.models import AgentExecution
        from pgknowbase.agents.recording import rows
        from pgknowbase.agents.recording.values import prompt_text, short_text

        row = AgentExecution(
            agent_name=self.name,
            user_id=getattr(deps, "user_id", None),
            model=self.model_name(model),
            input_prompt=prompt_text(prompt),
            idempotency_key=short_text("The idempotency_key", key),
            workflow_id=place.workflow_id if place else None,
            order=place.order if place else None,
            step=place.step if place else "",
        )
        beginning = asyncio.ensure_future(sync_to_async(rows.begin)(row))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:  # the row is written meanwhile, and nobody else would end it
            outcome = Outcome(end=End.CANCELLED, error="The run was cancelled.")
            await self._end(await beginning, outcome)
            raise

    async def _work(
        self,
        begun: Any,
        prompt: str | None,
        deps: Any,
        *,
        model: Any = None,
        timeout: float | None = None,
        history: list[Any] | None = None,
        decisions: Mapping[str, bool | str] | None = None,
    ) -> AgentResult[Output]:
        from pgknowbase.agents.recording.heartbeat import heart

        execution_id = begun.execution.pk
        with heart.run(execution_id) as leave:
            call = self._call(begun, prompt, deps, model, timeout, history, decisions, on_cancel=leave)
            outcome = await self._engine.run(call)
        await self._end(begun, outcome)
        if outcome.end is not End.COMPLETED:
            raise self._error(execution_id, outcome) from outcome.cause
        row = begun.execution
        return AgentResult(
            output=outcome.output,
            execution_id=execution_id,
            execution_time=row.execution_time or begun.seconds,
            tokens_used=row.tokens_used or outcome.tokens_used,
            cost=row.cost,
            messages=outcome.messages,
        )

    async def _end(self, begun: Any, outcome: Outcome) -> None:
        from pgknowbase.agents.recording import rows

        # A second cancellation must not keep the row from saying that the run is over.
        await asyncio.shield(sync_to_async(rows.end)(begun, outcome))

    def _call(
        self,
        begun: Any,
        prompt: str | None,
        deps: Any,
        model: Any,
        timeout: float | None,
        history: list[Any] | None = None,
        decisions: Mapping[str, bool | str] | None = None,
        *,
        on_cancel: Any,
    ) -> Call:
        from pgknowbase.agents.recording.journal import RowJournal

        settings = get_settings().agents
        tokens = [bound for bound in (settings.token_limit, begun.left.tokens) if bound is not None]
        return Call(
            prompt=prompt,
            deps=deps,
            model=self._model(model),
            journal=RowJournal(begun.execution.pk),
            timeout=timeout or self.timeout or settings.timeout,
            max_retries=settings.max_retries if self.max_retries is None else self.max_retries,
            retry_delay=settings.retry_delay,
            request_limit=settings.request_limit,
            token_limit=min(tokens, default=None),
            cost_limit=begun.left.cost,
            tool_calls_limit=settings.tool_calls_limit,
            history=history,
            decisions=decisions,
            permissions=self.permissions,
            on_cancel=on_cancel,
        )

    def _model(self, model: Any) -> Any:
        chosen = model or self.model or get_settings().agents.model
        if not chosen:
            raise NoModelError(f"Agent {self.name!r} has no model: {HOW}.")
        return chosen

    def _error(self, execution_id: UUID, outcome: Outcome) -> BaseException:
        if isinstance(outcome.cause, PgKnowbaseError | asyncio.CancelledError):
            return outcome.cause
        if outcome.end is End.PAUSED:
            names = ", ".join(sorted({repr(call.tool_name) for call in outcome.pending}))
            return ApprovalNeededError(
                f"Agent {self.name!r} waits for approval of {names}: decide on the requests of {execution_id}.",
                execution_id=execution_id,
            )
        kinds = {End.TIMEOUT: RunTimeoutError, End.CANCELLED: RunCancelledError}
        kind = kinds.get(outcome.end, RunFailedError)
        return kind(f"Agent {self.name!r}: {outcome.error} See execution {execution_id}.", execution_id=execution_id)

    @staticmethod
    def _registering(function: Any, register: Callable[[Any], None]) -> Any:
        def decorate(each: Function) -> Function:
            register(each)
            return each

        return decorate if function is None else decorate(function)


def _checked(name: str, permissions: Mapping[str, Permission]) -> Mapping[str, Permission]:
    for tool, permission in permissions.items():
        if permission not in ("allow", "deny", "ask"):
            raise AgentError(f"Agent {name!r}: permission {permission!r} of {tool!r}: write 'allow', 'deny' or 'ask'.")
    return permissions
