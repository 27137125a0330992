"""Server-sent events under WSGI and ASGI; the same events, the same bytes."""

import asyncio
import json
import threading

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncRequestFactory, RequestFactory

from pgknowbase.api.events import HEARTBEAT, Event, event_stream
from pgknowbase.api.problems import Problem

# The end of a response closes old connections.
pytestmark = pytest.mark.django_db


class Source:
    """Events that remember how far they came and whether they were closed."""

    def __init__(self, *, count=2, error=None, pause=0.0):
        self.count, self.error, self.pause = count, error, pause
        self.sent, self.closed = 0, False

    async def events(self):
        try:
            for number in range(self.count):
                await asyncio.sleep(self.pause)
                self.sent += 1
                yield Event("token", {"text": f"{number}\n"}, id=str(number))
            if self.error:
                raise self.error
        finally:
            await asyncio.sleep(0)
            self.closed = True


def wsgi(source, *, most=None, **options):
    response = event_stream(RequestFactory().get("/"), source.events(), **options)
    parts = []
    for part in response.streaming_content:
        parts.append((part, source.sent))
        if len(parts) == most:
            break
    response.close()
    return response, parts


def asgi(source, *, most=None, **options):
    async def run():
        response = event_stream(AsyncRequestFactory().get("/"), source.events(), **options)
        parts = []
        content = response.streaming_content
        async for part in content:
            parts.append((part, source.sent))
            if len(parts) == most:
                break
        await response._iterator.aclose()
        return response, parts

    return asyncio.run(run())


@pytest.fixture(params=[wsgi, asgi])
def read(request):
    return request.param


def test_events_come_as_they_are_made(read):
    source = Source()
    response, parts = read(source)
    assert parts == [
        (b'id: 0\nevent: token\ndata: {"text": "0\\n"}\n\n', 1),
        (b'id: 1\nevent: token\ndata: {"text": "1\\n"}\n\n', 2),
    ]
    assert source.closed
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"


def test_heartbeats_while_nothing_comes(read):
    parts = [part for part, _ in read(Source(count=1, pause=0.2), heartbeat=0.02)[1]]
    assert parts[0] == HEARTBEAT
    assert parts[-1].startswith(b"id: 0\n")


def test_problem_ends_the_stream(read):
    parts = read(Source(count=1, error=Problem(429, "throttled", "Too many: wait.")))[1]
    event, data, *_ = parts[-1][0].decode().splitlines()
    assert event == "event: problem"
    assert json.loads(data.removeprefix("data: "))["status"] == 429


def test_what_went_wrong_stays_in_the_log(read, caplog):
    parts = read(Source(count=1, error=RuntimeError("secret")))[1]
    assert b"secret" not in parts[-1][0]
    assert b'"status": 500' in parts[-1][0]
    assert "secret" in caplog.text


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_a_client_that_goes_away_ends_the_work(read, pause):
    source = Source(count=1000, pause=pause)
    read(source, most=1, heartbeat=0.01)
    assert source.closed
    assert source.sent < 1000


def test_streams_of_wsgi_have_threads_of_their_own():
    seen = []

    async def events():
        seen.append(await sync_to_async(threading.get_ident)())
        yield Event("one", 1)
        seen.append(await sync_to_async(threading.get_ident)())
        yield Event("two", 2)

    streams = [event_stream(RequestFactory().get("/"), events()) for _ in range(2)]
    for _ in range(2):
        parts = [next(iter(stream._iterator)) for stream in streams]
        assert len(set(parts)) == 1
    for stream in streams:
        stream.close()
    assert len(seen) == 4
    assert seen[0] == seen[2]
    assert seen[1] == seen[3]
    assert seen[0] != seen[1]


def test_names_cannot_make_events_of_their_own():
    assert (
        Event("a\n\ndata: x", None, id="1\nevent: y").encoded() == b"id: 1 event: y\nevent: a data: x\ndata: null\n\n"
    )
