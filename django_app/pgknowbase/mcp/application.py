"""The SDK's application for one request of HTTP."""

import logging
from functools import cache
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from pgknowbase.conf import get_settings
from pgknowbase.mcp.asgi import Application
from pgknowbase.mcp.identity import RequestUser
from pgknowbase.mcp.server import build_server

# It tells of the beginning and end of each request, as if a server was started and stopped.
logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.WARNING)


def build_application(*, streamed: bool) -> Application:
    """An application without sessions. Under WSGI, where a stream holds a thread, it answers in one piece."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        most = get_settings().api.max_body_bytes
        server = _server(thread_sensitive=not streamed)
        manager = StreamableHTTPSessionManager(
            server, stateless=True, json_response=not streamed, max_request_body_size=most
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return application


@cache
def _server(*, thread_sensitive: bool) -> Server[Any]:
    return build_server(RequestUser(), thread_sensitive=thread_sensitive)
