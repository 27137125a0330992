"""Many answers at once from uvicorn with two workers: none is lost, memory stays, who does not read harms nobody.

Each stream is a run of an agent with its row, in the Vercel AI SDK's protocol; its model says a word every tenth of a
second. Beside them are clients that ask for an endless answer and do not read it.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import psutil

from benchmarks.database import Database
from benchmarks.report import Figure, figure

WORKERS = 2
STREAMS = 200
CALLERS = 40
SLOW = 20
# Connections of each worker.
POOL = 20
MESSAGE = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}
BODY = {"trigger": "submit-message", "id": "c", "messages": [MESSAGE]}
# What each stream ends with if nothing is lost.
WORDS = " ".join(map(str, range(50)))


def run(database: Database, *, quick: bool) -> list[Figure]:
    from django.contrib.auth import get_user_model

    from pgknowbase.api.tokens import create_token

    users = [get_user_model().objects.create_user(f"streams {number}") for number in range(CALLERS)]
    secrets = [create_token(user, name="streams", scopes=["agents"])[1] for user in users]
    rounds = 3 if quick else 10
    with _server() as (address, processes):
        port = int(address.rpartition(":")[2])
        asyncio.run(_round(address, secrets))  # imports, connections, pools
        alone, beside, memory = [], [], []
        for _ in range(rounds):
            alone += asyncio.run(_round(address, secrets))
            memory.append(_memory(processes))
        idle = [_not_reading(port, secrets[number % CALLERS]) for number in range(SLOW)]
        for _ in range(rounds):
            beside += asyncio.run(_round(address, secrets))
            memory.append(_memory(processes))
        for client in idle:
            client.close()
    return [
        figure("streams", f"{STREAMS} at once: until the first word", alone, rows=len(alone), unit="s"),
        figure("streams", f"the same beside {SLOW} clients that do not read", beside, rows=len(beside), unit="s"),
        figure("streams", "answers that were lost", [0.0], rows=len(alone) + len(beside), unit="answers", target="0"),
        figure("streams", "memory of both workers after each round", memory, rows=len(memory), unit="MB"),
        figure(
            "streams", "memory: last round beside the first", [memory[-1] / memory[0]], rows=len(memory), unit="times"
        ),
    ]


@contextmanager
def _server() -> Iterator[tuple[str, list[psutil.Process]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--workers", str(WORKERS), "--port", str(port), "--lifespan", "off", "--log-level", "warning"]
    command = [sys.executable, "-W", "ignore", "-m", "uvicorn", "benchmarks.streams_site:application", *options]
    environment = {**os.environ, "PGKNOWBASE_BENCH_POOL": str(POOL)}
    server = subprocess.Popen(command, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx2.get(f"{address}/api/openapi.json", timeout=60)
                break
            except httpx2.TransportError:
                time.sleep(0.2)
        yield address, [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    finally:
        server.terminate()
        server.wait(60)


def _memory(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 2**20


async def _round(address: str, secrets: list[str]) -> list[float]:
    """Seconds until the first word of each stream.

    Raises:
        AssertionError: one was refused, or did not end as it should.
    """
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=address, timeout=600, limits=limits) as http:
        return await asyncio.gather(*(_stream(http, secrets[number % CALLERS]) for number in range(STREAMS)))


async def _stream(http: Any, secret: str) -> float:
    started, first, text = time.perf_counter(), 0.0, ""
    headers = {"Authorization": f"Bearer {secret}"}
    async with http.stream("POST", "/api/ui/agents/counting/vercel-ai/", json=BODY, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                assert text == WORDS, text
                return first
            if data.startswith("{") and (chunk := json.loads(data))["type"] == "text-delta":
                first = first or time.perf_counter() - started
                text += chunk["delta"]
    raise AssertionError(f"the stream ended early: {text!r}")


def _not_reading(port: int, secret: str) -> socket.socket:
    body = json.dumps(BODY)
    client = socket.create_connection(("127.0.0.1", port))
    head = (
        f"POST /api/ui/agents/endless/vercel-ai/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client.sendall((head + body).encode())
    return client
