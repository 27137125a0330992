"""A provider on localhost that speaks OpenAI's embeddings format and fails as it is told to."""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Self

from pgknowbase.embeddings.base import Embedder
from pgknowbase.embeddings.server import EmbeddingHandler, EmbeddingServer
from pgknowbase.testing.lexical import LexicalEmbedder

_CUT: Final = "cut"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to answer badly; made by the methods below."""

    kind: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    value: Any = None

    @classmethod
    def rate_limit(cls, retry_after: float = 1) -> Self:
        """429 with Retry-After."""
        return cls("status", 429, {"Retry-After": f"{retry_after:g}"})

    @classmethod
    def server_error(cls, status: int = 500) -> Self:
        """A status of 500 or above, or any other."""
        return cls("status", status)

    @classmethod
    def timeout(cls, seconds: float = 5) -> Self:
        """A good answer, after so long."""
        return cls("good", seconds=seconds)

    @classmethod
    def disconnect(cls) -> Self:
        """The connection ends in the middle of a good answer."""
        return cls(_CUT)

    @classmethod
    def malformed_json(cls) -> Self:
        """A good answer without its end."""
        return cls("malformed")

    @classmethod
    def wrong_dimensions(cls, dimensions: int) -> Self:
        """Vectors of another length."""
        return cls("dimensions", value=dimensions)

    @classmethod
    def nan(cls) -> Self:
        """Vectors of NaN."""
        return cls("numbers", value=float("nan"))

    @classmethod
    def zeros(cls) -> Self:
        """Vectors of zeros."""
        return cls("numbers", value=0.0)


class FaultyProvider:
    """Serves deterministic vectors over HTTP while it is open; use it with ``with``.

    ``requests`` are the bodies that it was sent, ``texts`` their texts in the order of arrival.

    Args:
        model: the model's name.
        dimensions: of its vectors.
        embedder: what makes them; default a ``LexicalEmbedder``.
    """

    def __init__(self, *, model: str = "lexical", dimensions: int = 256, embedder: Embedder | None = None) -> None:
        self.embedder = embedder or LexicalEmbedder(model=model, dimensions=dimensions)
        self.requests: list[dict[str, Any]] = []
        self.markers: set[str] = set()
        self._next: deque[Fault] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.stop(grace=5)
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL, as ``BASE_URL`` of ``OpenAIEmbedder``."""
        return self._server.url

    @property
    def texts(self) -> list[str]:
        """Every text that it was sent, refused or not."""
        return [text for request in list(self.requests) for text in request["input"]]

    def settings(self, **options: Any) -> dict[str, Any]:
        """An entry of ``EMBEDDINGS`` that reaches it; ``options`` are more OPTIONS, such as ``TIMEOUT``."""
        return {
            "BACKEND": "pgknowbase.embeddings.OpenAIEmbedder",
            "MODEL": self.embedder.model,
            "DIMENSIONS": self.embedder.dimensions,
            "OPTIONS": {"BASE_URL": self.url, "API_KEY_ENV": None, **options},
        }

    def fail_next(self, *faults: Fault) -> None:
        """Answer the next requests so, one each, in this order."""
        self._next.extend(faults)

    def fail_always(self, fault: Fault | None) -> None:
        """Answer every request so, after those of ``fail_next``; None ends it."""
        self._always = fault

    def refuse(self, *markers: str) -> None:
        """Refuse, with 400, each request with a text that contains one of these."""
        self.markers.update(markers)

    def _received(self, request: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            return self._next.popleft() if self._next else self._always

    def _wait(self, seconds: float) -> None:
        self._closing.wait(seconds)


class _Server(EmbeddingServer):
    def __init__(self, provider: FaultyProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), provider.embedder)
        self.RequestHandlerClass = _Handler


class _Handler(EmbeddingHandler):
    server: _Server

    def do_POST(self) -> None:
        """As its parent's, unless a fault is due."""
        with self.server.request(), self._errors():
            body = self._read_body()
            request = json.loads(body)
            if isinstance(request["input"], str):
                request["input"] = [request["input"]]
            fault = self.server.provider._received(request)
            refused = [text for text in request["input"] if any(mark in text for mark in self.server.provider.markers)]
            if fault is not None:
                self._fail(fault, body, request)
            elif refused:
                self._send(HTTPStatus.BAD_REQUEST, _error(f"refused: {refused[0][:40]!r}"))
            else:
                self._send(HTTPStatus.OK, self.server.embed(body))

    def _fail(self, fault: Fault, body: bytes, request: dict[str, Any]) -> None:
        self.server.provider._wait(fault.seconds)
        if fault.kind == "status":
            return self._send(HTTPStatus(fault.status), _error(f"told to answer {fault.status}"), fault.headers)
        answer = self.server.embed(body)
        for item in answer["data"]:
            if fault.kind == "dimensions":
                item["embedding"] = [1.0] * fault.value
            elif fault.kind == "numbers":
                item["embedding"] = [fault.value] * self.server.embedder.dimensions
        self._write(json.dumps(answer).encode(), fault)
        return None

    def _write(self, content: bytes, fault: Fault) -> None:
        sent = content[: len(content) // 2] if fault.kind in (_CUT, "malformed") else content
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content if fault.kind == _CUT else sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
        self.close_connection = self.close_connection or fault.kind == _CUT


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
