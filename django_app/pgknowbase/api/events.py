"""Server-sent events from an async generator, under ASGI and WSGI alike."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from dataclasses import dataclass
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from ninja.responses import NinjaJSONEncoder

from pgknowbase.api.problems import Problem

HEARTBEAT_SECONDS = 15.0
MEDIA_TYPE = "text/event-stream"
# For the OpenAPI document: what each event has.
CONTENT = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
            "required": ["event", "data"],
        }
    }
}
# A comment: clients ignore it, proxies see that the connection lives.
HEARTBEAT = b":\n\n"
# nginx would hold events back.
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

logger = logging.getLogger("pgknowbase.api")


class NoMoreEvents(Exception):
    """The events are over."""


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


def event_stream(
    request: HttpRequest, events: AsyncGenerator[Event], *, heartbeat: float = HEARTBEAT_SECONDS
) -> StreamingHttpResponse:
    """``events`` as an answer that is sent as they come.

    What a generator raises becomes a last event ``problem``; details of what is no ``Problem`` go to the log alone.
    When the client goes away, the generator is closed: what it has in ``finally`` runs.
    """
    encoded = _encoded(events, heartbeat)
    content: Any = encoded if isinstance(request, ASGIRequest) else _in_this_thread(encoded)
    return StreamingHttpResponse(content, content_type=MEDIA_TYPE, headers=HEADERS)


async def _encoded(events: AsyncGenerator[Event], heartbeat: float) -> AsyncGenerator[bytes]:
    following: asyncio.Task[Event] | None = None
    try:
        while True:
            following = asyncio.create_task(_next(events))
            while not (await asyncio.wait({following}, timeout=heartbeat))[0]:
                yield HEARTBEAT
            try:
                event = following.result()
            except NoMoreEvents:
                return
            except Problem as problem:
                yield Event("problem", json.loads(problem.body)).encoded()
                return
            except Exception:
                logger.exception("A stream of events has failed")
                told = Problem(500, "failed", "Something went wrong: try again, or tell an administrator.")
                yield Event("problem", json.loads(told.body)).encoded()
                return
            yield event.encoded()
    finally:
        if following is not None and not following.done():
            following.cancel()
            await asyncio.wait({following})
        await events.aclose()


async def _next(events: AsyncIterator[Event]) -> Event:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise NoMoreEvents from None


def _in_this_thread(encoded: AsyncGenerator[bytes]) -> Generator[bytes]:
    """The same for a server without an event loop: one of its own, that runs while the next event is waited for."""
    with asyncio.Runner() as runner:
        # Else all streams of the process would share one thread for what they call with sync_to_async.
        threads: Any = ThreadSensitiveContext()
        runner.run(threads.__aenter__())
        try:
            while (part := runner.run(_part(encoded))) is not None:
                yield part
        finally:
            runner.run(encoded.aclose())
            # The thread ends with the stream, and nobody else would close its connections.
            runner.run(sync_to_async(connections.close_all)())
            runner.run(threads.__aexit__(None, None, None))


async def _part(encoded: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(encoded, None)


def _line(text: str) -> str:
    return " ".join(text.split())
