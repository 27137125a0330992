"""``manage.py pgknowbase_mcp``: search, fetch and similar for language models."""

from argparse import ArgumentParser
from typing import Any

from pgknowbase.errors import MissingExtraError
from pgknowbase.management.arguments import positive
from pgknowbase.management.base import KnowbaseCommand


class Command(KnowbaseCommand):
    help = "Serve search, fetch and similar over MCP: on stdin and stdout as one user, or over HTTP as each token's."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--transport", choices=("stdio", "http"), default="stdio")
        parser.add_argument("--user", help="stdio: the user for whom to search; without, public rows only")
        parser.add_argument("--host", default="127.0.0.1", help="http: where to listen")
        parser.add_argument("--port", type=positive, default=8766)

    def handle(self, *, transport: str, user: str | None, host: str, port: int, **options: Any) -> None:
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "The MCP server needs the package 'mcp': run `pip install 'django-pgknowbase[mcp]'`."
            ) from error
        from pgknowbase.mcp.people import Named, OfToken, check_tokens_exist
        from pgknowbase.mcp.server import build_server

        if transport == "stdio":
            named = Named(user)
            named()  # a wrong name is told now, not at the first call
            build_server(named).run("stdio")
            return
        check_tokens_exist()
        server = build_server(OfToken(), tokens_at=f"http://{host}:{port}")
        # Without sessions, any number of processes can stand behind one address.
        server.run("streamable-http", host=host, port=port, json_response=True, stateless_http=True)
