"""An ASGI application as the answer to one request of Django."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any, TypeAlias

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from pgknowbase.api.streams import CountedResponse, OpenStream

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
EVENTS = "text/event-stream"


async def respond(request: HttpRequest, application: Application, stream: OpenStream) -> HttpResponseBase:
    """The response that ``application`` gives. Events are sent on as they come, everything else in one piece.

    When the client disconnects, Django cancels the view or closes the response, and either cancels the application.

    Args:
        stream: counted until the response ends.
    """
    messages = _messages(application, _scope(request), request.body)
    try:
        start = await anext(messages)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        if headers.get("content-type", "").startswith(EVENTS):
            events = CountedResponse(_bodies(messages, stream), status=start["status"])
            events.stream = stream
            response: HttpResponseBase = events
        else:
            async with aclosing(messages):
                body = b"".join([message.get("body", b"") async for message in messages])
            stream.close()
            response = HttpResponse(body, status=start["status"])
    except BaseException:
        stream.close()
        raise
    for name, value in headers.items():
        # Of the connection, which is the server's.
        if name not in ("connection", "content-length"):
            response.headers[name] = value
    return response


async def _bodies(messages: AsyncGenerator[Message], stream: OpenStream) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(messages):
            async for message in messages:
                if body := message.get("body"):
                    yield body
    finally:
        stream.close()


async def _messages(application: Application, scope: Any, body: bytes) -> AsyncGenerator[Message]:
    """What the application sends. It runs in one task, which ends with this generator."""
    sent: asyncio.Queue[Message | None] = asyncio.Queue()
    received = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if received:
            return received.pop()
        # The client's leaving cancels this task instead of being told.
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    work = asyncio.create_task(application(scope, receive, sent.put))
    work.add_done_callback(lambda _: sent.put_nowait(None))
    try:
        while (message := await sent.get()) is not None:
            yield message
        await work
    finally:
        work.cancel()
        await asyncio.wait({work})


def _scope(request: HttpRequest) -> dict[str, Any]:
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in request.headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "state": {},
    }
