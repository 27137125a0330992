"""Answers of the chat and of agents as events of pydantic-ai, which its adapters write in each protocol."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from pydantic_ai import CustomEvent
from pydantic_ai.messages import PartDeltaEvent, PartEndEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.ui import UIEventStream

from pgknowbase.api.error_handlers import problem_of_agent_error
from pgknowbase.api.problems import Problem, unexpected
from pgknowbase.chat import conversation
from pgknowbase.chat.conversation import Answered, Text
from pgknowbase.chat.links import citation_page
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.routes import as_problems
from pgknowbase.chat.schemas import ChatEntry
from pgknowbase.errors import AgentError, ApprovalNeededError
from pgknowbase.ui.protocols import FrontEnd, Source, as_json

logger = logging.getLogger("pgknowbase.api")
END: Any = object()
# Events of a run that nobody has read yet.
MOST_WAITING = 100


@dataclass(kw_only=True)
class SourceEvent(CustomEvent, name="source"):
    """A source of the answer, in the form of the protocol."""

    payload: Any

    def to_payload(self) -> Any:
        """It as the adapter sends it."""
        return self.payload


@dataclass(kw_only=True)
class AnswerEvent(CustomEvent, name="answer"):
    """The answer as it was stored: a ``ChatEntry`` as JSON."""

    payload: Any

    def to_payload(self) -> Any:
        """It as the adapter sends it."""
        return self.payload


@dataclass(frozen=True, slots=True)
class Encoded:
    """One event on the wire."""

    text: str

    def encoded(self) -> bytes:
        """It as bytes."""
        return self.text.encode()


async def written(stream: UIEventStream[Any, Any, Any, Any], native: AsyncGenerator[Any]) -> AsyncGenerator[Encoded]:
    """The events of an answer as ``stream`` writes them. Closing it closes ``native``."""
    source: Any = stream.transform_stream(presentable(native))
    async with aclosing(native), aclosing(source):
        async for event in source:
            yield Encoded(stream.encode_event(event))


async def presentable(native: AsyncGenerator[Any]) -> AsyncIterator[Any]:
    """``native``, whose errors the client may read: the adapters send their texts.

    Raises:
        Problem: instead of any other error.
    """
    try:
        async for event in native:
            yield event
    except Problem:
        raise
    except AgentError as error:
        logger.error("%s", error)
        raise problem_of_agent_error(error) from error
    except Exception as error:
        logger.exception("A stream of events has failed")
        raise unexpected() from error


async def agent_events(run: Callable[..., Awaitable[Any]]) -> AsyncGenerator[Any]:
    """The events of a run. Closing the generator cancels it.

    Args:
        run: called with ``on_event=``.

    Raises:
        AgentError: the run did not complete. One that waits for a person ends without an error.
    """
    events: asyncio.Queue[Any] = asyncio.Queue()
    room = asyncio.Semaphore(MOST_WAITING)

    async def send(event: Any) -> None:
        await room.acquire()  # a reader that is slow holds its run up, and not our memory
        events.put_nowait(event)

    async def produce() -> None:
        try:
            await run(on_event=send)
        except ApprovalNeededError:
            pass  # the last event has the calls
        finally:
            events.put_nowait(END)

    # pydantic-ai must enter and leave its context managers in one task, but the server reads each event in another.
    running = asyncio.create_task(produce())
    try:
        while (event := await events.get()) is not END:
            room.release()
            yield event
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()


async def chat_events(session: ChatSession, question: str, front_end: FrontEnd, site: str) -> AsyncGenerator[Any]:
    """The answer of a chat: its text, its sources, and what was stored.

    Raises:
        Problem: there was no answer.
    """
    text = ""
    yield PartStartEvent(index=0, part=TextPart(""))
    with as_problems():
        async with aclosing(conversation.stream(session, question)) as parts:
            async for part in parts:
                if isinstance(part, Text):
                    text += part.text
                    yield PartDeltaEvent(index=0, delta=TextPartDelta(part.text))
                elif isinstance(part, Answered):
                    yield PartEndEvent(index=0, part=TextPart(text))
                    for source in await sync_to_async(sources_of)(part.message, session.user, site):
                        yield SourceEvent(payload=front_end.source(source))
                    entry = await sync_to_async(ChatEntry.of)(part.message)
                    yield AnswerEvent(payload=as_json(entry))


def sources_of(message: ChatMessage, user: Any, site: str) -> list[Source]:
    """What the markers of an answer name, once each, with the pages that ``user`` may see."""
    return [Source(each, citation_page(each, user, site)) for each in message.citations]
