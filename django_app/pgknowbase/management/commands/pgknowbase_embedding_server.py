"""``manage.py pgknowbase_embedding_server``: an OpenAI-compatible server around an embedder."""

import os
import signal
import threading
from argparse import ArgumentTypeError
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.server import KEY_VARIABLE, EmbeddingServer, ServerLimits
from pgknowbase.management.base import KnowbaseCommand

_LIMITS = ServerLimits()


class Command(KnowbaseCommand):
    """Serves until SIGTERM or SIGINT; requests under way are finished. Needs no database."""

    help = f"Serve embeddings in OpenAI's format. Set {KEY_VARIABLE} to ask clients for that API key."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen, what to serve, how much to accept."""
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument("--port", type=_port, default=8765, help="0: any free one; default: %(default)s")
        parser.add_argument("--embedding", metavar="ALIAS", help="entry of EMBEDDINGS; default: that of SPACE")
        parser.add_argument("--max-bytes", type=_positive, default=_LIMITS.max_bytes, help="of a request's body")
        parser.add_argument("--max-texts", type=_positive, default=_LIMITS.max_texts, help="of one request")

    def handle(
        self, *, host: str, port: int, embedding: str | None, max_bytes: int, max_texts: int, **options: Any
    ) -> None:
        """Raises CommandError if the settings are wrong, the model cannot start or the port is taken."""
        try:
            alias = embedding or get_settings().space.embedding
            server = EmbeddingServer(
                (host, port),
                get_embedder(alias),
                alias=alias,
                limits=ServerLimits(max_bytes=max_bytes, max_texts=max_texts),
                api_key=os.environ.get(KEY_VARIABLE) or None,
            )
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host!r}, port {port} ({error.strerror or error}): choose another with --port."
            ) from error
        self._serve(server)

    def _serve(self, server: EmbeddingServer) -> None:
        def on_signal(number: int, frame: FrameType | None) -> None:
            # shutdown() waits for serve_forever(), which goes on when this returns.
            threading.Thread(target=server.shutdown).start()

        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.stdout.write(f"Serving {server.embedder.model} as {server.alias} at {server.url}")
            self.stdout.flush()
            server.serve_forever(poll_interval=0.1)
        finally:
            server.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.stdout.write("Stopped.")


def _port(value: str) -> int:
    if not value.isdigit() or int(value) > 65535:
        raise ArgumentTypeError(f"{value!r} is no port: use 0 to 65535.")
    return int(value)


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise ArgumentTypeError(f"{value!r} is too small or no number: use 1 or more.")
    return int(value)
