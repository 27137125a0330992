"""A run as events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.values import as_json, as_text
from pgknowbase.api.agent_problems import problem_of
from pgknowbase.api.events import Event
from pgknowbase.api.links import execution_url
from pgknowbase.api.orchestrator.answers import result_of_row, summary_of
from pgknowbase.errors import AgentError, ApprovalNeededError

Agent = DjangoAgent[Any, Any]


async def streamed(agent: Agent, prompt: str, *, deps: DjangoDeps, timeout: float | None) -> AsyncGenerator[Event]:
    """``started``, then ``text`` or ``partial`` as the answer comes, then ``result`` or ``waiting``.

    Closing it cancels the run.

    Raises:
        Problem: the run did not complete.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    # A run must begin and end in one task, and each event is asked for in another.
    running = asyncio.create_task(_run(agent, prompt, events.put_nowait, deps=deps, timeout=timeout))
    running.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await _ended(running)
    finally:
        running.cancel()
        await asyncio.wait({running})


async def _ended(running: asyncio.Task[None]) -> None:
    try:
        await running
    except AgentError as error:
        raise problem_of(error) from error


async def _run(agent: Agent, prompt: str, tell: Callable[[Event], None], **options: Any) -> None:
    try:
        async with agent.run_stream(prompt, **options) as answer:
            key = answer.execution_id
            tell(Event("started", {"execution_id": str(key), "url": execution_url(key)}))
            said = ""
            # Not stream_text(): it fails where the answer is a call that waits for a person.
            async for output in answer.stream_output():
                if agent.output_type is not str:
                    tell(Event("partial", {"output": as_json(output)}))
                elif output != said:
                    tell(Event("text", {"text": as_text(output[len(said) :])}))
                    said = output
    except ApprovalNeededError:
        tell(Event("waiting", summary_of(await _row(key))))
    else:
        tell(Event("result", result_of_row(await _row(key))))


async def _row(key: UUID) -> AgentExecution:
    return await AgentExecution.objects.using(alias()).aget(pk=key)
