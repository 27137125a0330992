"""Many streams at once under uvicorn: none is lost, each caller is bounded, and who does not read holds nobody up."""

import asyncio
import json
import socket
from urllib.parse import urlsplit

import httpx2
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from pydantic_ai.models.function import FunctionModel

from pgknowbase.agents import DjangoAgent, registry
from pgknowbase.agents.models import AgentExecution
from tests.integration.agents.test_load import in_use
from tests.integration.api.conftest import token_of
from tests.integration.api.test_matrix import VERCEL_AI
from tests.integration.openai.conftest import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
STREAMS = 40
PIECE = "x" * 10_000


class Models:
    """Language models that are told when to go on."""

    def __init__(self):
        self.released, self.pieces = False, 0

    async def waiting(self, messages, info):
        yield "begun"
        while not self.released:
            await asyncio.sleep(0.01)
        yield ", ended"

    async def endless(self, messages, info):
        while True:
            self.pieces += 1
            yield PIECE
            await asyncio.sleep(0)


@pytest.fixture
def models(monkeypatch, settings):
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))
    models = Models()
    DjangoAgent(name="waiting", model=FunctionModel(stream_function=models.waiting), timeout=900)
    DjangoAgent(name="endless", model=FunctionModel(stream_function=models.endless), timeout=900)
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {**settings.PGKNOWBASE["API"], "MAX_STREAMS": STREAMS}}
    return models


def not_reading(site, secret):
    """A client that asks for an endless answer, and does not read it."""
    address, body = urlsplit(site), json.dumps(VERCEL_AI)
    head = (
        f"POST /api/ui/agents/endless/vercel-ai/ HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port))
    client.sendall((head + body).encode())
    return client


async def streams(site, ann, bob, models):
    """What many clients read while one more of the same caller is refused, and one of another caller is served."""
    begun, place = asyncio.Queue(), f"{site}/api/ui/agents/waiting/vercel-ai/"
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=300, limits=limits) as http:

        async def read(secret):
            sent = {"json": VERCEL_AI, "headers": {"Authorization": f"Bearer {secret}"}}
            async with http.stream("POST", place, **sent) as response:
                text = ""
                async for line in response.aiter_lines():
                    text += line
                    if "begun" in line:
                        begun.put_nowait(response.status_code)
                return response.status_code, text

        tasks = [asyncio.create_task(read(ann)) for _ in range(STREAMS)]
        for _ in tasks:
            assert await begun.get() == 200
        await sync_to_async(wait_until)(lambda: in_use() < STREAMS // 2)  # while they wait, they hold no connection
        refused, _ = await read(ann)
        other = asyncio.create_task(read(bob))
        assert await begun.get() == 200
        models.released = True
        return refused, await asyncio.gather(*tasks, other)


def test_many(asgi, users, models):
    ann, bob = token_of(users["ann"]), token_of(users["bob"])
    idle = [not_reading(asgi, bob) for _ in range(5)]
    # Their answers are held up: the model is not asked for more than buffers hold.
    wait_until(lambda: models.pieces > 100)
    refused, answers = async_to_sync(streams)(asgi, ann, bob, models)
    assert refused == 429
    assert [status for status, _ in answers] == [200] * (STREAMS + 1)
    assert all("begun" in text and ", ended" in text and text.endswith("[DONE]") for _, text in answers)
    wait_until(lambda: AgentExecution.objects.filter(status="COMPLETED").count() == STREAMS + 1)
    # Each of them may have filled the buffers of its connection and of its run, and no more.
    assert models.pieces < 5 * 1000
    for client in idle:
        client.close()
    wait_until(lambda: AgentExecution.objects.filter(agent_name="endless", status="CANCELLED").count() == len(idle))
    assert not AgentExecution.objects.filter(status="RUNNING").exists()
