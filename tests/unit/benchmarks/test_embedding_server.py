import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from benchmarks.embedding_server import EmbeddingServer, Limits
from pgknowbase.embeddings import BatchLimits, Embedder, Embeddings, OpenAIEmbedder, StaticEmbedder
from pgknowbase.errors import PermanentEmbeddingError, RetryableEmbeddingError


@pytest.fixture(scope="module")
def static():
    return StaticEmbedder()


class Fake(Embedder):
    model, dimensions, limits = "fake", 2, BatchLimits(3, 10_000)

    def __init__(self):
        self.calls, self.error, self.wait = [], None, threading.Event()
        self.wait.set()

    def embed_documents(self, texts):
        self.calls.append(list(texts))
        assert self.wait.wait(60)
        if self.error:
            raise self.error
        return Embeddings([[len(text), 0.5] for text in texts], [2] * len(texts))

    def embed_query(self, text):
        raise NotImplementedError


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def serve():
    running = []

    def start(embedder, **options):
        server = EmbeddingServer(("127.0.0.1", 0), embedder, **options)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        if thread.is_alive():
            server.stop(grace=1)
        thread.join()


@pytest.fixture
def server(serve, fake):
    return serve(fake, limits=Limits(max_bytes=10_000, max_texts=5, idle_seconds=2))


@pytest.fixture
def client(server):
    with httpx2.Client(base_url=server.url.removesuffix("/v1"), timeout=60) as client:
        yield client


def post(client, **body):
    return client.post("/v1/embeddings", json={"model": "fake", **body})


def raw(server, data):
    """Send bytes as they are and read until the server hangs up."""
    with socket.create_connection(server.server_address, timeout=60) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_answer(client, fake):
    answer = post(client, input=["a", "bb", "ccc", "dddd"], user="someone", encoding_format="float")
    assert answer.json() == {
        "object": "list",
        "model": "fake",
        "data": [{"object": "embedding", "index": i, "embedding": [i + 1, 0.5]} for i in range(4)],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert fake.calls == [["a", "bb", "ccc"], ["dddd"]], "as many at a time as the embedder takes"
    assert post(client, input="one").json()["data"][0]["embedding"] == [3, 0.5]
    assert post(client, input="one", dimensions=2, model="default").status_code == 200


def test_base64(client):
    data = post(client, input="one", encoding_format="base64").json()["data"]
    assert struct.unpack("<2f", base64.b64decode(data[0]["embedding"])) == (3.0, 0.5)


def test_health(client):
    assert client.get("/health").json() == {"status": "ok", "model": "fake"}


def test_connection_is_kept(server):
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(server.server_address, timeout=60) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert b'"ok"' in connection.recv(65536)


BAD_BODIES = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"[" * 5000,
    b'{"model": "fake"}',
    b'{"input": "x"}',
    b'{"model": 5, "input": "x"}',
    *(
        json.dumps({"model": "fake", "input": "x", **more}).encode()
        for more in (
            {"input": None},
            {"input": {}},
            {"input": 5},
            {"input": []},
            {"input": ""},
            {"input": " "},
            {"input": ["a", ""]},
            {"input": ["a", None]},
            {"input": [1, 2]},
            {"input": [[1, 2], [3]]},
            {"input": ["a"] * 6},
            {"dimensions": 3},
            {"dimensions": True},
            {"dimensions": 2.0},
            {"dimensions": "2"},
            {"encoding_format": "int8"},
            {"encoding_format": ["float"]},
        )
    ),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_bodies(client, fake, body):
    answer = client.post("/v1/embeddings", content=body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert ": " in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert fake.calls == []
    assert post(client, input="x").status_code == 200, "the connection still works"


def test_token_ids_are_refused_with_a_reason(client):
    assert "token ids" in post(client, input=[[1, 2], [3]]).json()["error"]["message"]


def test_unknown_model_and_page(client):
    assert post(client, input="x", model="gpt").json()["error"]["code"] == "model_not_found"
    for answer in (post(client, input="x", model="gpt"), client.get("/v2"), client.post("/v1/chat", json={})):
        assert answer.status_code == 404
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
def test_unknown_methods(client, method):
    answer = client.request(method, "/v1/embeddings")
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_too_large_body(client):
    answer = post(client, input="x" * 20_000)
    assert answer.status_code == 413
    assert "10000" in answer.json()["error"]["message"]


def test_client_that_still_sends_gets_the_answer(serve, fake):
    server = serve(fake, limits=Limits(max_bytes=2**22))
    head = b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (2**24)
    assert raw(server, head + b"x" * 2**24).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 50\r\n\r\nab", b"400"),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", b"413"),
        (b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_bad_http(server, request_, status):
    answer = raw(server, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_silent_client_is_dropped(serve, fake):
    server = serve(fake, limits=Limits(idle_seconds=0.2))
    with socket.create_connection(server.server_address, timeout=60) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 50\r\n\r\nab")
        assert connection.recv(100) == b""


def test_errors_of_the_embedder(client, fake, caplog):
    fake.error = PermanentEmbeddingError("never: leave it")
    assert post(client, input="x").status_code == 400
    fake.error = RetryableEmbeddingError("later: wait", retry_after=6.6)
    answer = post(client, input="x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    fake.error = ZeroDivisionError("private")
    with caplog.at_level(logging.CRITICAL, "pgknowbase"):
        answer = post(client, input="x")
    assert answer.status_code == 500
    assert "private" not in answer.text


def test_lone_surrogate_is_a_bad_request(serve, static):
    url = serve(static).url
    answer = httpx2.post(f"{url}/embeddings", content=rb'{"model": "wordllama-256", "input": "\ud800"}')
    assert answer.status_code == 400
    assert "surrogate" in answer.json()["error"]["message"]


def test_api_key(serve, fake):
    url = serve(fake, api_key="sécret").url
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sécret".encode()}):
        answer = httpx2.post(f"{url}/embeddings", json={"model": "fake", "input": "x"}, headers=header)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    good = {"Authorization": "Bearer sécret".encode()}
    assert httpx2.post(f"{url}/embeddings", json={"model": "fake", "input": "x"}, headers=good).status_code == 200
    assert httpx2.get(url.removesuffix("/v1") + "/health").status_code == 200
    assert fake.calls == [["x"]]


def test_our_client_against_our_server(serve, static, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    server = serve(static, api_key="k")
    texts = ["Grüße", "مرحبا", "नमस्ते", "你好"] * 20
    for form in ("float", "base64"):
        client = OpenAIEmbedder(
            model="wordllama-256",
            dimensions=256,
            base_url=server.url,
            encoding_format=form,
            send_dimensions=True,
        )
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(client.embed_query, texts)) == [static.embed_query(text) for text in texts]
        assert client.embed_documents(["one"]).tokens == static.embed_documents(["one"]).tokens
        client.close()


def test_stop_waits_for_the_request_under_way(serve, fake):
    server = serve(fake)
    fake.wait.clear()
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(httpx2.post, f"{server.url}/embeddings", json={"model": "fake", "input": "x"}, timeout=60)
        while not fake.calls:
            time.sleep(0.01)
        stopped = pool.submit(server.stop)
        time.sleep(0.1)
        assert not stopped.done()
        fake.wait.set()
        assert answer.result().status_code == 200
        assert answer.result().headers["connection"] == "close"
        stopped.result(timeout=60)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.url)


def test_no_more_than_concurrency_compute_at_once(serve, fake):
    server = serve(fake, concurrency=2)
    fake.wait.clear()
    with ThreadPoolExecutor(5) as pool:
        body = {"model": "fake", "input": "x"}
        answers = [pool.submit(httpx2.post, f"{server.url}/embeddings", json=body, timeout=60) for _ in range(5)]
        deadline = time.monotonic() + 60
        while len(fake.calls) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        assert len(fake.calls) == 2
        fake.wait.set()
        assert [answer.result().status_code for answer in answers] == [200] * 5


def test_openai_client_as_pgai_uses_it(serve, static):
    import openai

    async def call(url):
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            create = client.embeddings.with_streaming_response.create
            more = {"dimensions": 256, "user": openai.NOT_GIVEN, "encoding_format": "float"}
            async with create(input=["a", "b"], model="wordllama-256", **more) as response:
                streamed = json.loads(b"".join([part async for part in response.iter_bytes(65536)]))
            decoded = await client.embeddings.create(input=["a", "b"], model="default")
            with pytest.raises(openai.NotFoundError, match="is not served"):
                await client.embeddings.create(input="a", model="gpt")
            return streamed, decoded

    streamed, decoded = asyncio.run(call(serve(static).url))
    expected = static.embed_documents(["a", "b"])
    assert [item["embedding"] for item in streamed["data"]] == expected.vectors
    assert [item.embedding for item in decoded.data] == expected.vectors
    assert streamed["usage"]["total_tokens"] == sum(expected.tokens)


def test_unauthorized_body_is_not_read(serve, fake):
    """A stranger's body of 16 MiB is neither kept nor waited for."""
    server = serve(fake, api_key="k")
    head = b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % 2**24
    with socket.create_connection(server.server_address, timeout=60) as connection:
        connection.sendall(head + b"x" * 2**16)
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_connections_are_bounded(serve, fake):
    server = serve(fake, limits=Limits(max_connections=2))
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(socket.create_connection(server.server_address, timeout=60)) for _ in range(2)
        )
        for connection in (first, second):
            connection.sendall(health)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        with socket.create_connection(server.server_address, timeout=60) as third:
            assert third.recv(65536).startswith(b"HTTP/1.1 503")
    deadline = time.monotonic() + 60
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < deadline, "a connection that ended makes room"
        with contextlib.suppress(OSError):  # it closes a connection that it refuses, perhaps before the request is sent
            answer = raw(server, health)


def program(*arguments, **environment):
    """The program, as the benchmarks and compose start it."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "benchmarks.embedding_server", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **settings, **environment}, **pipes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "70000"), "choose another with --port"),
        (("--port", "x"), "invalid int value"),
        (("--embedding", "no"), "'no'"),
    ],
)
def test_program_refuses(arguments, message):
    with program(*arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert message in errors
    assert "Traceback" not in errors


def test_program_says_that_the_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, program("--port", str(taken.getsockname()[1])) as process:
        assert "choose another with --port" in process.communicate(timeout=60)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_serves_and_stops(number):
    with program("--port", "0", EMBEDDING_SERVER_KEY="k") as process:
        try:
            url = process.stdout.readline().split()[-1]
            body = {"model": "default", "input": ["a", "b"]}
            assert httpx2.post(f"{url}/embeddings", json=body, timeout=60).status_code == 401
            answer = httpx2.post(f"{url}/embeddings", json=body, headers={"Authorization": "Bearer k"}, timeout=60)
            assert len(answer.json()["data"][1]["embedding"]) == 256
            process.send_signal(number)
            assert process.wait(60) == 0
            assert process.stdout.read() == "Stopped.\n"
        finally:
            process.kill()
