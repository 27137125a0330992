"""Routes of agents: the list of them, and running one, at once, as a stream or in the background."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from ninja.responses import Status

from pgknowbase.agents import background as queue
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.models import Status as Run
from pgknowbase.agents.registry import agents_for, get_agent
from pgknowbase.agents.runnable import Runnable
from pgknowbase.agents.runs import store
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.api.error_handlers import problem_of_agent_error
from pgknowbase.api.events import EVENTS, Event, event_stream
from pgknowbase.api.links import execution_url
from pgknowbase.api.orchestrator.access import check_budgets, deps_for, require_user, router
from pgknowbase.api.orchestrator.schemas import (
    AgentInfo,
    AgentList,
    ExecutionSummary,
    RunPartial,
    RunRequest,
    RunResult,
    RunStarted,
    RunText,
)
from pgknowbase.api.orchestrator.serializers import result_of, result_of_row, summary_of
from pgknowbase.api.parameters import REPLAYED, IdempotencyKey, bound_key
from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings
from pgknowbase.core.text import is_storable, short_repr, to_storable
from pgknowbase.errors import AgentError, ApprovalNeededError, NoModelError, RunCancelledError, UnknownAgentError

STREAMED = {
    "responses": {
        200: {
            "description": "The result; with `stream` the events `started`, `text` or `partial`, and at last `result`,"
            " `waiting` or `problem`."
        }
    },
    EVENTS: {
        "started": RunStarted,
        "text": RunText,
        "partial": RunPartial,
        "result": RunResult,
        "waiting": ExecutionSummary,
    },
}


@router.get("ai-agents/", response=AgentList, operation_id="listAgents")
def list_agents(request: HttpRequest) -> AgentList:
    """The agents that the caller may run."""
    caller = require_user(request)
    return AgentList(results=[_info(agent, place) for agent, place in agents_for(caller.user)])


@router.post(
    "ai-agents/{agent_name}/run/",
    response={200: RunResult, 202: ExecutionSummary},
    operation_id="runAgent",
    openapi_extra=STREAMED,
)
async def run_agent(
    request: HttpRequest,
    agent_name: str,
    body: RunRequest,
    response: HttpResponse,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Run an agent as the caller. 202: it waits for a worker, or for a person's approval. Heeds Idempotency-Key."""
    if body.stream and idempotency_key is not None:
        raise Problem(400, "idempotency-key", "A stream has no key: leave Idempotency-Key out, or do not stream.")
    agent, deps = await sync_to_async(_agent_and_deps)(request, agent_name, body)
    # Only now, with scope, permission and agent checked: an old key opens nothing that was withdrawn since.
    key = bound_key(request, idempotency_key)
    if earlier := await sync_to_async(earlier_run)(agent.name, key, prompt=body.prompt, user_id=deps.user_id):
        return _replay(response, earlier, background=body.background)
    if body.stream:
        events = run_events(agent, body.prompt, deps=deps, timeout=_timeout(agent, body.timeout))
        return event_stream(request, events)
    try:
        return await _run(agent, body, deps, key)
    except IntegrityError:
        # A request with the same key started its run in the meantime.
        faster = await sync_to_async(earlier_run)(agent.name, key, prompt=body.prompt, user_id=deps.user_id)
        if faster is None:
            raise
        return _replay(response, faster, background=body.background)


def usable_agent(name: str, user: Any) -> Runnable:
    """The agent of that name, which ``user`` may run and which has a model.

    Raises:
        UnknownAgentError: there is none for this user.
        NoModelError: it could not run.
    """
    if not is_storable(name):
        raise UnknownAgentError(f"Agent {short_repr(name)} is unknown: see the list of agents.")
    agent = get_agent(name, user=user)
    agent.model_name()
    return agent


def earlier_run(agent_name: str, key: str, *, prompt: str, user_id: Any) -> AgentExecution | None:
    """The run of the agent with that idempotency key, unless it failed: then the key is free for a retry.

    Raises:
        Problem: 422, the key was used for another request.
    """
    row = store.find_by_key(agent_name, key) if key else None
    if row is not None and (row.input_prompt, row.user_id) != (prompt, user_id):
        raise Problem(422, "idempotency-key", "The key was used for another request: send a new one.")
    return row


def _replay(response: HttpResponse, row: AgentExecution, *, background: bool) -> Any:
    """The response that describes an earlier run as it is now."""
    response.headers[REPLAYED] = "true"
    if row.status == Run.CANCELLED:
        detail = f"Run {row.pk} was cancelled: send a new key."
        raise problem_of_agent_error(RunCancelledError(detail, execution_id=row.pk))
    if row.status == Run.COMPLETED and not background:
        return result_of_row(row)
    return Status(202, summary_of(row))


async def _run(agent: Runnable, body: RunRequest, deps: DjangoDeps, key: str) -> Any:
    if body.background:
        row = await sync_to_async(_enqueue)(agent, body.prompt, deps, key)
        return Status(202, summary_of(row))
    timeout = _timeout(agent, body.timeout)
    try:
        result = await agent.run(body.prompt, deps=deps, timeout=timeout, idempotency_key=key)
    except ApprovalNeededError as error:
        return Status(202, summary_of(await _row(error.execution_id)))
    return result_of(agent.name, result)


def _agent_and_deps(request: HttpRequest, agent_name: str, body: RunRequest) -> tuple[Runnable, DjangoDeps]:
    user, deps = deps_for(request, body.deps, body.context)
    return usable_agent(agent_name, user), deps


def _enqueue(agent: Runnable, prompt: str, deps: DjangoDeps, key: str) -> AgentExecution:
    check_budgets(agent.name, deps.user_id)
    return queue.run_in_background(agent.name, prompt, deps=deps, idempotency_key=key)


def _timeout(agent: Runnable, requested: float | None) -> float | None:
    """A caller may shorten the timeout of the agent, not extend it."""
    return min(requested, agent.timeout or get_settings().agents.timeout) if requested else None


def _info(agent: Runnable, place: Any) -> AgentInfo:
    try:
        model: str | None = agent.model_name()
    except NoModelError:
        model = None
    return AgentInfo(name=agent.name, description=agent.description, kept_in=place, model=model)


# A run as server-sent events


async def run_events(
    agent: Runnable, prompt: str, *, deps: DjangoDeps, timeout: float | None = None, **options: Any
) -> AsyncGenerator[Event]:
    """``started``, then ``text`` or ``partial`` while the model answers, then ``result`` or ``waiting``.

    Closing the generator cancels the run. ``options`` are those of ``run_stream``.

    Raises:
        Problem: the run did not complete.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    # pydantic-ai must enter and leave its context managers in one task, but the server reads each event in another.
    running = asyncio.create_task(_run_into(events.put_nowait, agent, prompt, deps=deps, timeout=timeout, **options))
    running.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await _raise_problem(running)
    finally:
        running.cancel()
        await asyncio.wait({running})


async def _raise_problem(running: asyncio.Task[None]) -> None:
    try:
        await running
    except AgentError as error:
        raise problem_of_agent_error(error) from error


async def _run_into(send: Callable[[Event], None], agent: Runnable, prompt: str, **options: Any) -> None:
    try:
        async with agent.run_stream(prompt, **options) as answer:
            key = answer.execution_id
            send(Event("started", RunStarted(execution_id=key, url=execution_url(key))))
            text = ""
            # Not stream_text(): it fails where the answer is a call that waits for a person.
            async for output in answer.stream_output():
                if agent.output_type is not str:
                    send(Event("partial", RunPartial(output=as_json(output))))
                elif output != text:
                    send(Event("text", RunText(text=to_storable(output[len(text) :]))))
                    text = output
    except ApprovalNeededError:
        send(Event("waiting", summary_of(await _row(key))))
    else:
        send(Event("result", result_of_row(await _row(key))))


async def _row(key: UUID) -> AgentExecution:
    return await AgentExecution.objects.using(alias()).aget(pk=key)
