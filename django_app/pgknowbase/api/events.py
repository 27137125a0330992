"""Server-sent events from an async generator, under ASGI and under WSGI."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from ninja.responses import NinjaJSONEncoder

from pgknowbase.api.problems import Problem, unexpected
from pgknowbase.api.streams import CountedResponse, OpenStream, open_streams

HEARTBEAT_SECONDS = 15.0
# For how long a stream keeps its database connection while nothing comes.
IDLE_SECONDS = 0.1
MEDIA_TYPE = "text/event-stream"
# In ``openapi_extra`` of a route that streams: its events by name, each with the pydantic model of its data. The
# OpenAPI document then describes them, and one ``problem`` that may come last.
EVENTS = "x-events"
# A comment line: clients ignore it, and proxies do not close the connection as idle.
HEARTBEAT = b":\n\n"
# nginx would buffer events until it has enough of them.
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

logger = logging.getLogger("pgknowbase.api")


class NoMoreEvents(Exception):
    """The generator has ended. StopAsyncIteration cannot pass through a task."""


class Encodable(Protocol):
    """What a stream sends."""

    def encoded(self) -> bytes:
        """It on the wire."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``data`` becomes JSON, pydantic models included; ``name`` and ``id`` are one line each."""

    name: str
    data: Any
    id: str | None = None

    def encoded(self) -> bytes:
        """The event on the wire."""
        lines = [f"event: {_line(self.name)}", f"data: {json.dumps(self.data, cls=NinjaJSONEncoder)}"]
        if self.id is not None:
            lines.insert(0, f"id: {_line(self.id)}")
        return ("\n".join(lines) + "\n\n").encode()


def problem_event(problem: Problem) -> Event:
    """The last event of a stream that failed."""
    return Event("problem", json.loads(problem.body))


def event_stream(
    request: HttpRequest,
    events: AsyncGenerator[Any],
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    failure: Callable[[Problem], Encodable] = problem_event,
) -> StreamingHttpResponse:
    """A streaming response that sends each event when the generator yields it.

    An exception of the generator becomes a last event ``problem``; the details of any but a ``Problem`` go to the log
    alone. When the client disconnects, the generator is closed, so its ``finally`` blocks run.

    Args:
        events: yields ``Event``, or another ``Encodable``.
        heartbeat: seconds without an event after which a comment keeps the connection open.
        failure: the last event, from the problem; for protocols that have a form of their own.

    Raises:
        Problem: 429, the caller has MAX_STREAMS open.

    >>> async def events():
    ...     yield Event("progress", {"percent": 50})
    >>> event_stream(request, events())
    """
    stream = open_streams.open(request)
    encoded = _encoded(events, heartbeat, failure, stream)
    content: Any = encoded if isinstance(request, ASGIRequest) else _in_own_loop(encoded)
    response = CountedResponse(content, content_type=MEDIA_TYPE, headers=HEADERS)
    response.stream = stream
    return response


async def _encoded(
    events: AsyncGenerator[Encodable],
    heartbeat: float,
    failure: Callable[[Problem], Encodable],
    stream: OpenStream,
) -> AsyncGenerator[bytes]:
    following: asyncio.Task[Encodable] | None = None
    releasing: asyncio.Future[None] | None = None
    try:
        while True:
            following = asyncio.create_task(_next(events))
            if not (await asyncio.wait({following}, timeout=IDLE_SECONDS))[0] and (not releasing or releasing.done()):
                # Not waited for: the thread may be at work, and then lets go of its connections after it.
                releasing = asyncio.ensure_future(sync_to_async(_release_connections)())
            # asyncio.wait, not wait_for: a timeout must not cancel the generator, only interrupt the waiting.
            while not (await asyncio.wait({following}, timeout=heartbeat))[0]:
                yield HEARTBEAT
            try:
                event = following.result()
            except NoMoreEvents:
                return
            except Problem as problem:
                yield failure(problem).encoded()
                return
            except Exception:
                logger.exception("A stream of events has failed")
                yield failure(unexpected()).encoded()
                return
            yield event.encoded()
    finally:
        if following is not None and not following.done():
            following.cancel()
            # An async generator that is still running cannot be closed.
            await asyncio.wait({following})
        if releasing is not None:
            await asyncio.wait({releasing})
        try:
            await events.aclose()
        finally:
            stream.close()


def _release_connections() -> None:
    """Close this thread's connections, or return them to their pool; the next statement opens one again.

    Under ASGI each request has a thread and so a connection of its own. Streams wait for their model most of their
    time: without this a hundred of them would be all that a usual server can take.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and not connection.in_atomic_block:
            connection.close()


async def _next(events: AsyncIterator[Encodable]) -> Encodable:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise NoMoreEvents from None


def _in_own_loop(encoded: AsyncGenerator[bytes]) -> Generator[bytes]:
    """The same for WSGI: an event loop of its own, which runs while the server waits for the next event."""
    with asyncio.Runner() as runner:
        # Without it, the sync_to_async calls of all streams in the process would queue for one thread.
        threads: Any = ThreadSensitiveContext()
        runner.run(threads.__aenter__())
        try:
            while (part := runner.run(_part(encoded))) is not None:
                yield part
        finally:
            runner.run(encoded.aclose())
            # The thread ends with the stream, and its database connections would stay open.
            runner.run(sync_to_async(connections.close_all)())
            runner.run(threads.__aexit__(None, None, None))


async def _part(encoded: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(encoded, None)


def _line(text: str) -> str:
    return " ".join(text.split())
