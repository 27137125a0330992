"""``manage.py pgknowbase_mcp``: serve search, fetch and similar to language models over MCP."""

import asyncio
from typing import Any

from django.apps import apps
from django.core.management.base import CommandParser

from pgknowbase.core.commands import KnowbaseCommand, between
from pgknowbase.errors import ConfigurationError, MissingExtraError
from pgknowbase.mcp import TOKENS_APP, TOKENS_MISSING


class Command(KnowbaseCommand):
    help = "Serve search, fetch and similar over MCP: on stdin and stdout for one user, or over HTTP for all tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--transport", choices=("stdio", "http"), default="stdio", help="'stdio' or 'http'")
        parser.add_argument("--user", help="for 'stdio': user on whose behalf to search; without it, public rows only")
        parser.add_argument("--host", default="127.0.0.1", help="for 'http': address to listen on, %(default)s")
        parser.add_argument("--port", type=between(1, 65535), default=8766, help="for 'http': port, %(default)s")

    def handle(self, *, transport: str, user: str | None, host: str, port: int, **options: Any) -> None:
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "The MCP server needs the package 'mcp': run `pip install 'django-pgknowbase[mcp]'`."
            ) from error
        if transport == "stdio":
            from pgknowbase.mcp.identity import FixedUser
            from pgknowbase.mcp.server import build_server
            from pgknowbase.mcp.stdio import serve_stdio

            identity = FixedUser(user)
            identity.viewer()  # an unknown user is an error now, not at the first call
            asyncio.run(serve_stdio(build_server(identity, thread_sensitive=False)))
            return
        if not apps.is_installed(TOKENS_APP):
            raise ConfigurationError(TOKENS_MISSING)
        from pgknowbase.mcp.handler import serve_http

        serve_http(host, port)
