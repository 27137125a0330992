"""Embedders with the real weights, and an HTTP server that answers what a test tells it to."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pgknowbase.embeddings import LocalEmbedder, OpenAIEmbedder, StaticEmbedder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pgknowbase-cache")


@pytest.fixture(scope="session")
def local(cache_dir: Path) -> LocalEmbedder:
    return LocalEmbedder(cache_dir=cache_dir)


@pytest.fixture(scope="session")
def static() -> StaticEmbedder:
    return StaticEmbedder()


@dataclass
class Provider:
    """Answers each POST with ``answer(request_body) -> (status, headers, body)``; keeps what it was sent."""

    url: str = ""
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    answer: Callable[[dict], tuple[int, dict, bytes] | None] = lambda body: (500, {}, b"unset")
    drip: float = 0  # seconds between the bytes of an answer
    released: threading.Event = field(default_factory=threading.Event)

    def vectors(self, make: Callable[[int, str], object], **more: object) -> None:
        """Answer with ``make(position, text)`` as the vector of each text."""

        def answer(body: dict) -> tuple[int, dict, bytes]:
            data = [{"index": i, "embedding": make(i, text)} for i, text in enumerate(body["input"])]
            return 200, {}, json.dumps({"data": data, **more}).encode()

        self.answer = answer

    def fixed(self, status: int, body: bytes, **headers: str) -> None:
        self.answer = lambda _: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@pytest.fixture
def provider() -> Iterator[Provider]:
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.bodies.append(body)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = state.answer(body)
            if answer is None:  # hang up
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for byte in content if state.drip else ():
                self.wfile.write(bytes([byte]))
                time.sleep(state.drip)
            if not state.drip:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *args: object) -> None:
            pass

    server: socketserver.BaseServer = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make_embedder(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OpenAIEmbedder]]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
    made: list[OpenAIEmbedder] = []

    def make(**options: object) -> OpenAIEmbedder:
        embedder = OpenAIEmbedder(**{"model": "m", "dimensions": 2, "base_url": provider.url, **options})
        made.append(embedder)
        return embedder

    yield make
    for embedder in made:
        embedder.close()
