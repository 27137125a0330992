"""OpenAI's ``POST /v1/embeddings`` around an entry of EMBEDDINGS: ``python -m benchmarks.embedding_server --help``.

The benchmarks and the compose profile ``stock-pgai`` need the model that the library itself computes, behind HTTP; the
usual servers of models do not have that of ``StaticEmbedder``. It is not part of the library: docs/embeddings.md names
servers for production.
"""

import argparse
import base64
import contextlib
import hmac
import json
import logging
import os
import signal
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any, Final

from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Embedder, Vector, shorten, split_batches
from pgknowbase.errors import PermanentEmbeddingError, PgKnowbaseError, RetryableEmbeddingError

KEY_VARIABLE: Final = "EMBEDDING_SERVER_KEY"
_logger = logging.getLogger(__name__)
# The standard library blames itself for what a client sent.
_CLIENT_FAULTS: Final = {501: HTTPStatus.METHOD_NOT_ALLOWED, 505: HTTPStatus.BAD_REQUEST}
# What is read of a stranger's body, so that a client that sends a short one sees the answer and not a reset.
_DISCARDED_BYTES: Final = 2**16
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may take: bytes and texts of one request, seconds of silence, connections at once.

    Each connection costs a thread and up to ``max_bytes`` of memory.
    """

    max_bytes: int = 16 * 2**20
    max_texts: int = 2048
    idle_seconds: float = 60.0
    max_connections: int = 64


class RequestError(Exception):
    """A request that is answered with an error; the message ends with what the client should do."""

    def __init__(self, status: HTTPStatus, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class EmbeddingServer(ThreadingHTTPServer):
    """Serves one embedder under ``alias`` and its model's name.

    ``serve_forever()`` blocks; ``stop()`` from any thread ends it, after the requests under way.

    Args:
        address: host and port; port 0 takes a free one, see ``server_port``.
        embedder: what computes the vectors; used by several threads at once.
        alias: a second name under which the model may be asked for.
        limits: what clients may take.
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
        limits: Limits | None = None,
        api_key: str | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.embedder, self.alias, self.api_key = embedder, alias, api_key
        self.limits = limits or Limits()
        self.stopping = False
        self._computing = threading.BoundedSemaphore(concurrency or os.cpu_count() or 1)
        self._connections = threading.BoundedSemaphore(self.limits.max_connections)
        self._busy = 0
        self._idle = threading.Condition()
        super().__init__(address, EmbeddingHandler)

    @property
    def url(self) -> str:
        """The base URL for clients, with the port that was really bound."""
        return f"http://{self.server_address[0]}:{self.server_port}/v1"

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
        names = (self.embedder.model, self.alias)
        request = parse_request(body, names=names, dimensions=self.embedder.dimensions, limits=self.limits)
        with self._computing:
            return embeddings_answer(request, self.embedder)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread; one too many is refused here, in the thread that accepts them."""
        if not self._connections.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(_BUSY)
            return self.shutdown_request(request)
        try:
            return super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The life of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error."""


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
        """``/health``, open to all."""
        with self.server.request(), self._errors():
            self._read_body(self._body_length(), limit=_DISCARDED_BYTES)
            if self.path != "/health":
                raise RequestError(HTTPStatus.NOT_FOUND, f"No page {self.path!r}: ask for /health.")
            self._send(HTTPStatus.OK, {"status": "ok", "model": self.server.embedder.model})

    def do_POST(self) -> None:
        """``/v1/embeddings``."""
        with self.server.request(), self._errors():
            length = self._body_length()
            self._authorize(length)
            body = self._read_body(length, limit=self.server.limits.max_bytes)
            path = self.path.partition("?")[0].rstrip("/")
            if path != "/v1/embeddings":
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

    def _body_length(self) -> int:
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "Chunked bodies are not read: send Content-Length.")
        lengths = set(self.headers.get_all("content-length") or ["0"])
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            raise RequestError(HTTPStatus.BAD_REQUEST, f"Content-Length {length[:40]!r} is not a number: correct it.")
        return int(length[:18])

    def _authorize(self, length: int) -> None:
        """Refuse a stranger without taking the body, which may be ``length`` bytes long."""
        if self.server.api_key is None:
            return
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(key.strip().encode("latin-1"), self.server.api_key.encode())
        if scheme.lower() != "bearer" or not same:
            self.close_connection = True
            self._discard(min(length, _DISCARDED_BYTES))
            message = "The API key is missing or wrong: send it as a bearer token."
            raise RequestError(HTTPStatus.UNAUTHORIZED, message, code="invalid_api_key")

    def _read_body(self, length: int, *, limit: int) -> bytes:
        if length > limit:
            self.close_connection = True
            self._discard(min(length, 4 * limit))
            message = f"The body has {length} bytes or more; send at most {limit}."
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            raise RequestError(HTTPStatus.BAD_REQUEST, "The body ended early: send all of it.")
        return body

    def _discard(self, size: int) -> None:
        """Read and forget: a client that is still sending would see a reset instead of the answer."""
        while size > 0 and (part := self.rfile.read(min(size, 2**16))):
            size -= len(part)

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


def parse_request(body: bytes, *, names: Sequence[str], dimensions: int, limits: Limits) -> dict[str, Any]:
    """Check the body of ``POST /v1/embeddings``; fields that mean nothing here (``user``) are passed over.

    Returns ``model``, ``input`` as a list of strings, and ``encoding_format``.

    Raises:
        RequestError: names the field at fault.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"The body is not JSON ({shorten(str(error))}): send a JSON object.") from error
    if not isinstance(data, dict):
        raise _bad(f"The body is of type {type(data).__name__!r}: send a JSON object.")
    model = data.get("model")
    if not isinstance(model, str):
        raise _bad(f"'model' is missing or not a string: send one of {list(names)!r}.", "model")
    if model not in names:
        message = f"The model {shorten(model)!r} is not served: ask for one of {list(names)!r}."
        raise RequestError(HTTPStatus.NOT_FOUND, message, param="model", code="model_not_found")
    wanted = data.get("dimensions")
    if wanted is not None and (type(wanted) is not int or wanted != dimensions):
        raise _bad(f"{model!r} has {dimensions} dimensions, not {shorten(repr(wanted))}: leave it out.", "dimensions")
    form = data.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise _bad(f"encoding_format {shorten(repr(form))} is unknown: use 'float' or 'base64'.", "encoding_format")
    return {"model": model, "input": _texts(data.get("input"), limits), "encoding_format": form}


def _texts(value: object, limits: Limits) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise _bad("'input' is missing or empty: send a string or a list of strings.", "input")
    if len(texts) > limits.max_texts:
        raise _bad(f"'input' has {len(texts)} texts: send at most {limits.max_texts}.", "input")
    for position, text in enumerate(texts):
        if isinstance(text, int | list):
            raise _bad("'input' holds token ids, which differ from model to model: send strings.", "input")
        if not isinstance(text, str) or not text or text.isspace():
            raise _bad(f"'input[{position}]' is empty or not a string: leave it out.", "input")
    return texts


def _bad(message: str, param: str | None = None) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message, param=param)


def embeddings_answer(request: dict[str, Any], embedder: Embedder) -> dict[str, Any]:
    """Embed the texts, as many at a time as the embedder takes, and build OpenAI's answer.

    ``usage`` counts 0 tokens where the embedder does not know them. Raises as ``Embedder.embed_documents``.
    """
    vectors: list[Vector] = []
    tokens = 0
    for batch in split_batches(request["input"], embedder.limits):
        embeddings = embedder.embed_documents(batch)
        vectors.extend(embeddings.vectors)
        tokens += sum(embeddings.tokens or ())
    encode = _base64 if request["encoding_format"] == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request["model"], "data": data, "usage": usage}


def _base64(vector: Vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished. Needs Django's settings, but no database.

    Raises:
        SystemExit: an option or a setting is wrong, the model cannot start or the port is taken.
    """
    options = argument_parser().parse_args(arguments)
    try:
        alias = options.embedding or get_settings().space.embedding
        key = os.environ.get(KEY_VARIABLE) or None
        server = EmbeddingServer((options.host, options.port), get_embedder(alias), alias=alias, api_key=key)
    except PgKnowbaseError as error:
        raise SystemExit(str(error)) from error
    except (OSError, OverflowError) as error:
        place = f"{options.host!r}, port {options.port!r}"
        raise SystemExit(f"Cannot listen on {place} ({error}): choose another with --port.") from error

    def on_signal(number: int, frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which goes on when this returns.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    print(f"Serving {server.embedder.model} as {alias} at {server.url}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.stop()
    print("Stopped.")


def argument_parser() -> argparse.ArgumentParser:
    """Where to listen and what to serve."""
    says = f"Serve an entry of EMBEDDINGS in OpenAI's format. {KEY_VARIABLE} may hold an API key to ask clients for."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding_server", description=says)
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8765, help="0: any free one; default: %(default)s")
    parser.add_argument("--embedding", metavar="ALIAS", help="entry of EMBEDDINGS; default: that of SPACE")
    return parser


if __name__ == "__main__":
    main()
