"""A provider on localhost that speaks OpenAI's embeddings format, with scripted failures."""

import base64
import json
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from pgknowbase.embeddings.base import Embedder, Vector, split_batches
from pgknowbase.errors import PermanentEmbeddingError
from pgknowbase.testing.http import JSONHandler, LocalServer
from pgknowbase.testing.lexical import LexicalEmbedder
from pgknowbase.testing.quota import Quota
from pgknowbase.vectorizer.model_check import PROBE


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of a provider, made by the class methods below."""

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
        """A good response, after ``seconds``."""
        return cls("good", seconds=seconds)

    @classmethod
    def disconnect(cls) -> Self:
        """The connection ends in the middle of a good response."""
        return cls("cut")

    @classmethod
    def malformed_json(cls) -> Self:
        """A good response without its end."""
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


@dataclass
class Books:
    """What a provider bills. ``probes``: of the calls and texts, those with the fixed text of a worker."""

    calls: int = 0
    texts: int = 0
    tokens: int = 0
    probes: int = 0


class FaultyProvider:
    """A server of deterministic vectors, for a ``with`` block.

    ``requests`` are the bodies that it received, ``texts`` their texts in the order of arrival. ``books`` says what it
    bills: every answer with vectors, whether or not the client could use it. The fixed text by which a worker tells one
    model from another is billed as any other; it is not among the requests, and meets no failure.

    Args:
        model: the model's name.
        dimensions: of its vectors.
        embedder: what makes them; default a ``LexicalEmbedder``.
        count_tokens: of one text; default about one for four bytes.
        report_tokens: what an answer says of the tokens that are billed; default the truth.
        quota: calls beyond it are answered 429; default no limit.
        seconds: that each answer takes.
    """

    def __init__(
        self,
        *,
        model: str = "lexical",
        dimensions: int = 256,
        embedder: Embedder | None = None,
        count_tokens: Callable[[str], int] = lambda text: 1 + len(text.encode()) // 4,
        report_tokens: Callable[[int], int | None] = lambda tokens: tokens,
        quota: Quota | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.embedder = embedder or LexicalEmbedder(model=model, dimensions=dimensions)
        self.count_tokens = count_tokens
        self.report_tokens = report_tokens
        self.quota = quota
        self.seconds = seconds
        self.books = Books()
        self.requests: list[dict[str, Any]] = []
        self.markers: set[str] = set()
        self._next: deque[Fault] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.stop()

    @property
    def url(self) -> str:
        """The base URL, as ``BASE_URL`` of ``OpenAIEmbedder``."""
        return self._server.url

    @property
    def texts(self) -> list[str]:
        """Every text that it received, refused or not."""
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
        """Answer the next requests with these faults, one each, in this order."""
        self._next.extend(faults)

    def fail_always(self, fault: Fault | None) -> None:
        """Answer every request with this fault, after those of ``fail_next``; None ends it."""
        self._always = fault

    def refuse(self, *markers: str) -> None:
        """Refuse, with status 400, each request with a text that contains one of these markers."""
        self.markers.update(markers)

    def _received(self, request: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            return self._next.popleft() if self._next else self._always

    def _billed(self, texts: int, tokens: int) -> None:
        with self._lock:
            self.books.calls += 1
            self.books.texts += texts
            self.books.tokens += tokens

    def _probed(self) -> None:
        with self._lock:
            self.books.probes += 1

    def _wait(self, seconds: float) -> None:
        self._closing.wait(seconds)


class _Server(LocalServer):
    def __init__(self, provider: FaultyProvider) -> None:
        self.provider = provider
        super().__init__(_Handler)


class _Handler(JSONHandler):
    server: _Server

    def do_POST(self) -> None:
        """``/v1/embeddings``: a good answer, unless a fault is due or a text is refused."""
        provider = self.server.provider
        request = self.read_json()
        if self.path != "/v1/embeddings":
            return self.send_json(HTTPStatus.NOT_FOUND, _error(f"No page {self.path!r}: use /v1/embeddings."))
        if isinstance(request["input"], str):
            request["input"] = [request["input"]]
        provider._wait(provider.seconds)
        if request["input"] == [PROBE]:
            provider._probed()
            return self._send_answer(request)
        fault = provider._received(request)
        if fault is not None:
            return self._fail(fault, request)
        refused = [text for text in request["input"] if any(mark in text for mark in provider.markers)]
        if refused:
            return self.send_json(HTTPStatus.BAD_REQUEST, _error(f"refused: {refused[0][:40]!r}"))
        try:
            return self._send_answer(request)
        except PermanentEmbeddingError as error:
            return self.send_json(HTTPStatus.BAD_REQUEST, _error(str(error)))

    def _send_answer(self, request: dict[str, Any]) -> None:
        provider = self.server.provider
        is_allowed, headers = True, dict[str, str]()
        if provider.quota is not None:
            is_allowed, headers = provider.quota.take(sum(map(provider.count_tokens, request["input"])))
        if not is_allowed:
            return self.send_json(HTTPStatus.TOO_MANY_REQUESTS, _error("Rate limit reached"), headers)
        return self.send_json(HTTPStatus.OK, self._answer(request), headers)

    def _fail(self, fault: Fault, request: dict[str, Any]) -> None:
        self.server.provider._wait(fault.seconds)
        if fault.kind == "status":
            return self.send_json(fault.status, _error(f"told to answer {fault.status}"), fault.headers)
        answer = self._answer(request)
        for item in answer["data"]:
            if fault.kind == "dimensions":
                item["embedding"] = [1.0] * fault.value
            elif fault.kind == "numbers":
                item["embedding"] = [fault.value] * self.server.provider.embedder.dimensions
        content = json.dumps(answer).encode()
        if fault.kind == "malformed":
            return self.send_content(content[: len(content) // 2])
        if fault.kind == "cut":
            return self.send_content(content[: len(content) // 2], promised=len(content))
        return self.send_content(content)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        embedder = self.server.provider.embedder
        vectors = [
            vector
            for batch in split_batches(request["input"], embedder.limits)
            for vector in embedder.embed_documents(batch).vectors
        ]
        as_base64 = request.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else list(vector)}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(self.server.provider.count_tokens, request["input"]))
        self.server.provider._billed(len(request["input"]), tokens)
        reported = self.server.provider.report_tokens(tokens)
        usage = {"prompt_tokens": reported, "total_tokens": reported}
        return {"object": "list", "model": embedder.model, "data": data, "usage": usage}


def _base64(vector: Vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
