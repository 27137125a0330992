"""OpenAI's API around an embedder: ``POST /v1/embeddings``, ``GET /v1/models``, ``GET /health``."""

import contextlib
import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from pgknowbase.embeddings.base import Embedder
from pgknowbase.embeddings.server_request import RequestError, embeddings_answer, parse_request
from pgknowbase.errors import PermanentEmbeddingError, PgKnowbaseError, RetryableEmbeddingError

KEY_VARIABLE: Final = "PGKNOWBASE_SERVER_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one request may bring: bytes of its body, texts; seconds that a client may stay silent."""

    max_bytes: int = 16 * 2**20
    max_texts: int = 2048
    idle_seconds: float = 60.0


class EmbeddingServer(ThreadingHTTPServer):
    """Serves one embedder under ``alias`` and its model's name.

    ``serve_forever()`` blocks; ``stop()`` from any thread ends it, after the requests under way.

    Args:
        address: host and port; port 0 takes a free one, see ``server_port``.
        embedder: what computes the vectors; used by several threads at once.
        alias: a second name under which the model may be asked for.
        limits: what a request may bring.
        api_key: the bearer token that requests must carry, or None for no check.
        concurrency: how many requests compute at once; the others wait. Default: the number of CPUs.

    Raises:
        OSError: the address cannot be bound.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        embedder: Embedder,
        *,
        alias: str = "default",
        limits: ServerLimits | None = None,
        api_key: str | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.embedder, self.alias = embedder, alias
        self.limits = limits or ServerLimits()
        self.api_key = api_key
        self.stopping = False
        self.started = int(time.time())
        self._slots = threading.BoundedSemaphore(concurrency or os.cpu_count() or 1)
        self._busy = 0
        self._idle = threading.Condition()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, EmbeddingHandler)

    @property
    def url(self) -> str:
        """The base URL for clients, with the port that was really bound."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/v1"

    def stop(self, *, grace: float = 30.0) -> None:
        """Take no more requests, wait up to ``grace`` seconds for those under way, and free the port."""
        self.stopping = True
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=grace)
        self.server_close()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Around each request, so that ``stop()`` can wait for it."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def embed(self, body: bytes) -> dict[str, Any]:
        """The answer to the body of an embeddings request.

        Raises:
            RequestError: the body is wrong.
            EmbeddingError: as the embedder.
        """
        request = parse_request(
            body,
            names=(self.embedder.model, self.alias),
            dimensions=self.embedder.dimensions,
            limits=self.limits,
        )
        with self._slots:
            return embeddings_answer(request, self.embedder)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no event."""


_logger = logging.getLogger(__name__)
# The standard library blames itself for what a client sent.
_CLIENT_FAULTS: Final = {501: HTTPStatus.METHOD_NOT_ALLOWED, 505: HTTPStatus.BAD_REQUEST}


class EmbeddingHandler(BaseHTTPRequestHandler):
    """One connection, kept alive between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "pgknowbase"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave in one packet
    server: EmbeddingServer

    def setup(self) -> None:
        """A silent client loses its connection."""
        super().setup()
        self.connection.settimeout(self.server.limits.idle_seconds)

    def do_GET(self) -> None:
        """``/health`` (open to all) and ``/v1/models``."""
        with self.server.request(), self._errors():
            self._read_body()
            path = self.path.partition("?")[0]
            if path == "/health":
                return self._send(HTTPStatus.OK, {"status": "ok", "model": self.server.embedder.model})
            self._authorize()
            if path.rstrip("/") != "/v1/models":
                raise RequestError(HTTPStatus.NOT_FOUND, f"No page {path!r}: ask for /v1/models or /health.")
            return self._send(HTTPStatus.OK, {"object": "list", "data": self._models()})

    def do_POST(self) -> None:
        """``/v1/embeddings``."""
        with self.server.request(), self._errors():
            body = self._read_body()
            self._authorize()
            path = self.path.partition("?")[0]
            if path.rstrip("/") != "/v1/embeddings":
                raise RequestError(HTTPStatus.NOT_FOUND, f"No page {path!r} to post to: use /v1/embeddings.")
            self._send(HTTPStatus.OK, self.server.embed(body))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of the HTTP layer (bad request line, unknown method) in OpenAI's form too."""
        status = _CLIENT_FAULTS.get(code, HTTPStatus(code))
        self.close_connection = True
        self.request_version = self.protocol_version
        self._send_problem(RequestError(status, f"{message or status.phrase}: correct the request."))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: texts and keys have no place in logs."""

    def _models(self) -> list[dict[str, Any]]:
        names = dict.fromkeys((self.server.embedder.model, self.server.alias))
        created = self.server.started
        return [{"id": name, "object": "model", "created": created, "owned_by": "pgknowbase"} for name in names]

    def _read_body(self) -> bytes:
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "Chunked bodies are not read: send Content-Length.")
        lengths = set(self.headers.get_all("content-length") or ["0"])
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            raise RequestError(HTTPStatus.BAD_REQUEST, f"Content-Length {length[:40]!r} is no number: correct it.")
        limit = self.server.limits.max_bytes
        if len(length) > 18 or int(length) > limit:
            self.close_connection = True
            self._discard(min(int(length[:18]), 4 * limit))
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body has {length[:40]} bytes; send at most {limit}.",
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            raise RequestError(HTTPStatus.BAD_REQUEST, "The body ended early: send all of it.")
        return body

    def _discard(self, size: int) -> None:
        """Read on for a while: a client that is still sending would see a reset instead of the answer."""
        while size > 0 and (part := self.rfile.read(min(size, 2**16))):
            size -= len(part)

    def _authorize(self) -> None:
        if self.server.api_key is None:
            return
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(key.strip().encode("latin-1"), self.server.api_key.encode())
        if scheme.lower() != "bearer" or not same:
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "The API key is missing or wrong: send it as a bearer token.",
                code="invalid_api_key",
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            self._send_problem(error)
        except PermanentEmbeddingError as error:
            self._send_problem(RequestError(HTTPStatus.BAD_REQUEST, str(error)))
        except RetryableEmbeddingError as error:
            problem = RequestError(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            self._send_problem(problem, retry_after=error.retry_after)
        except PgKnowbaseError as error:
            self._send_problem(RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
        except OSError:
            self.close_connection = True  # the client has gone or is silent
        except Exception:
            _logger.exception("The embedding server failed on a request")
            self._send_problem(RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error: see the log."))

    def _send_problem(self, problem: RequestError, *, retry_after: float | None = None) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        if problem.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        self._send(problem.status, problem.body(), headers)

    def _send(self, status: HTTPStatus, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection or self.server.stopping:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()
