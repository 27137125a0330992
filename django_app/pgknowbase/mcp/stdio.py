"""Stdin and stdout, for clients that close stdin behind their last request."""

from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server import MCPServer
from mcp.server.stdio import stdio_server
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

PATIENCE = 60.0


class PatientServer(MCPServer[Any]):
    """The SDK's server ends with stdin and drops what is not answered yet; this one answers before."""

    async def run_stdio_async(self) -> None:
        """Serve until stdin is closed and each request is answered, for ``PATIENCE`` seconds at most."""
        async with stdio_server() as (read_stream, write_stream):
            open_requests = _Open()
            await self._lowlevel_server.run(
                _Asked(read_stream, open_requests),
                _Answered(write_stream, open_requests),
                self._lowlevel_server.create_initialization_options(),
            )


class _Open:
    """The requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[Any] = set()
        self._idle = anyio.Event()

    def asked(self, message: Any) -> None:
        if isinstance(message, JSONRPCRequest):
            self._ids.add(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.close((message.params or {}).get("requestId"))

    def close(self, request_id: Any) -> None:
        self._ids.discard(request_id)
        if not self._ids:
            self._idle.set()

    async def wait(self) -> None:
        if self._ids:
            self._idle = anyio.Event()
            with anyio.move_on_after(PATIENCE):
                await self._idle.wait()


class _Stream:
    def __init__(self, stream: Any, open_requests: _Open) -> None:
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


class _Asked(_Stream):
    """What comes in; its end comes after the last answer."""

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        try:
            item = await self._stream.receive()
        except anyio.EndOfStream:
            await self._open.wait()
            raise
        self._open.asked(getattr(item, "message", None))
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class _Answered(_Stream):
    """What goes out."""

    async def send(self, item: Any) -> None:
        await self._stream.send(item)
        if isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._open.close(item.message.id)
