"""The server over stdin and stdout, for clients that close stdin after their last request.

The SDK's server ends with stdin and drops the requests that are not answered yet. That is what a shell pipeline such as
``echo ... | manage.py pgknowbase_mcp`` does, and some clients. The wrappers below hold the end of stdin back until each
request is answered.
"""

from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

DRAIN_TIMEOUT = 60.0  # seconds


async def serve_stdio(server: Server[Any]) -> None:
    """Serve until stdin is closed and each request is answered, for ``DRAIN_TIMEOUT`` seconds at most."""
    async with stdio_server() as (read_stream, write_stream):
        open_requests = _OpenRequests()
        await server.run(
            _IncomingStream(read_stream, open_requests),
            _OutgoingStream(write_stream, open_requests),
            server.create_initialization_options(),
        )


class _OpenRequests:
    """The requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[Any] = set()
        self._idle = anyio.Event()

    def track(self, message: Any) -> None:
        if isinstance(message, JSONRPCRequest):
            self._ids.add(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.answered((message.params or {}).get("requestId"))

    def answered(self, request_id: Any) -> None:
        self._ids.discard(request_id)
        if not self._ids:
            self._idle.set()

    async def wait(self) -> None:
        if self._ids:
            self._idle = anyio.Event()
            with anyio.move_on_after(DRAIN_TIMEOUT):
                await self._idle.wait()


class _Stream:
    def __init__(self, stream: Any, open_requests: _OpenRequests) -> None:
        self._stream, self._open = stream, open_requests

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        closed: bool | None = await self._stream.__aexit__(kind, error, trace)
        return closed


class _IncomingStream(_Stream):
    """The incoming messages. Their end is delivered after the last answer."""

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        try:
            item = await self._stream.receive()
        except anyio.EndOfStream:
            await self._open.wait()
            raise
        self._open.track(getattr(item, "message", None))
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class _OutgoingStream(_Stream):
    """The outgoing messages."""

    async def send(self, item: Any) -> None:
        await self._stream.send(item)
        if isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._open.answered(item.message.id)
