"""The view of MCP as a server of its own, for ``pgknowbase_mcp --transport http``."""

from typing import Any

import uvicorn
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

import pgknowbase.mcp.application  # noqa: F401 - before the first request
from pgknowbase.mcp.views import endpoint

PATH = "/mcp"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class EndpointHandler(ASGIHandler):
    """Django's handler with one address, and without the middleware of the project.

    The project's URLs stay those that ``reverse`` knows, so results have the addresses of their pages.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        self._middleware_chain: Any = convert_exception_to_response(_only_path)


async def _only_path(request: HttpRequest) -> HttpResponseBase:
    if request.path.rstrip("/") != PATH:
        return HttpResponse(status=404)
    return await endpoint(request)


def serve_http(host: str, port: int) -> None:
    """Serve until the process is told to end.

    Args:
        host: the address to listen on, by which clients may call the server too.
    """
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, host, *LOOPBACK]
    uvicorn.run(EndpointHandler(), host=host, port=port, log_level="warning", lifespan="off")
