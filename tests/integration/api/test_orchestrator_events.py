"""Runs as server-sent events, asked of a real server of chat completions, by way of WSGI and ASGI."""

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from pydantic import BaseModel

from pgknowbase.agents import DjangoAgent, FunctionModel, TestModel, registry
from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.testing import ChatProvider, Fault, ToolCall
from tests.integration.agents.conftest import set_agents  # noqa: F401
from tests.integration.api.conftest import token_of

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


class City(BaseModel):
    name: str


async def slowly(messages, info):
    for piece in ("one ", "two ", "three"):
        yield piece
        await asyncio.sleep(0.4)


@pytest.fixture
def provider(set_agents, monkeypatch):  # noqa: F811
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))
    DjangoAgent(name="echo")
    DjangoAgent(name="slow", model=FunctionModel(stream_function=slowly))
    DjangoAgent(name="city", output_type=City, model=TestModel(custom_output_args={"name": "Ulm"}))
    careful = DjangoAgent(name="careful", permissions={"delete": "ask"})
    careful.tool_plain(lambda: "gone", name="delete")
    with ChatProvider() as provider:
        set_agents(PROVIDERS={"parrot": provider.settings()}, MODEL="parrot:grey", RETRY={"MAX_ATTEMPTS": 1})
        yield provider


@pytest.fixture
def ask(provider, users):
    """Run an agent as ann; the answer, or of a stream its events."""
    headers = {"Authorization": f"Bearer {token_of(users['ann'])}"}

    def post(kind, agent, prompt, *, most=None, **body):
        options = {"data": {"prompt": prompt, **body}, "content_type": "application/json", "headers": headers}
        path = f"/api/orchestrator/ai-agents/{agent}/run/"
        if kind == "wsgi":
            response = Client().post(path, **options)
            parts = []
            for part in response.streaming_content if response.streaming else ():
                parts.append(part)
                if len(parts) == most:
                    break
            response.close()
            return parsed(parts) if response.streaming else response

        async def asked():
            response = await AsyncClient().post(path, **options)
            if not response.streaming:
                return response
            parts = []
            async for part in response.streaming_content:
                parts.append(part)
                if len(parts) == most:
                    break
            await response._iterator.aclose()
            return parsed(parts)

        return async_to_sync(asked)()

    return post


def parsed(parts):
    """Events as (name, data)."""
    events = [part.decode().strip().split("\n") for part in parts if not part.startswith(b":")]
    return [(event.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for event, data in events]


@KINDS
def test_answer_of_a_real_server(ask, provider, kind):
    answer = ask(kind, "echo", "say hello")
    assert answer.status_code == 200, answer.content
    assert (answer.json()["output"], provider.requests[0]["model"]) == ("say hello", "grey")


@KINDS
def test_stream(ask, kind, users):
    events = ask(kind, "echo", "a longer answer in several pieces", stream=True)
    assert [name for name, _ in events] == ["started", *["text"] * (len(events) - 2), "result"]
    assert "".join(data["text"] for name, data in events if name == "text") == "a longer answer in several pieces"
    result = events[-1][1]
    assert (result["output"], result["status"]) == ("a longer answer in several pieces", "COMPLETED")
    assert result["execution_id"] == events[0][1]["execution_id"]
    row = AgentExecution.objects.get()
    assert (row.status, row.user_id, events[0][1]["url"]) == (
        Status.COMPLETED, users["ann"].pk, f"/api/orchestrator/executions/{row.pk}/",
    )  # fmt: skip


@KINDS
def test_text_comes_in_pieces(ask, kind):
    events = ask(kind, "slow", "x", stream=True)
    pieces = [data["text"] for name, data in events if name == "text"]
    assert len(pieces) >= 2
    assert "".join(pieces) == "one two three"


@KINDS
def test_stream_of_a_structure(ask, kind):
    events = ask(kind, "city", "where", stream=True)
    assert events[-2:] == [("partial", {"output": {"name": "Ulm"}}), ("result", events[-1][1])]
    assert events[-1][1]["output"] == {"name": "Ulm"}


@KINDS
def test_stream_that_fails(ask, provider, kind):
    provider.fail_next(Fault("status", status=500))
    ((name, told),) = ask(kind, "echo", "x", stream=True)
    row = AgentExecution.objects.get()
    assert (name, told["status"], told["type"]) == ("problem", 502, "urn:pgknowbase:problem:run-failed")
    assert (told["instance"], row.status) == (f"/api/orchestrator/executions/{row.pk}/", Status.FAILED)


@KINDS
def test_stream_that_breaks_off(ask, provider, kind):
    provider.fail_next(Fault("cut"))
    events = ask(kind, "echo", "x", stream=True)
    assert (events[0][0], events[-1][0], events[-1][1]["status"]) == ("started", "problem", 502)
    assert AgentExecution.objects.get().status == Status.FAILED


@KINDS
def test_stream_beyond_the_budget(ask, set_agents, kind):  # noqa: F811
    set_agents(BUDGET_TOTAL={"RUNS": 0})
    ((name, told),) = ask(kind, "echo", "x", stream=True)
    assert (name, told["status"]) == ("problem", 429)


@KINDS
def test_stream_that_waits_for_a_person(ask, provider, kind):
    provider.say(ToolCall("delete"))
    events = ask(kind, "careful", "x", stream=True)
    assert events[-1][0] == "waiting"
    assert events[-1][1]["status"] == "PENDING"
    assert AgentExecution.objects.get().approvals.count() == 1


@KINDS
def test_reader_that_leaves_cancels(ask, provider, kind):
    provider.answer = lambda body: "word " * 2000
    events = ask(kind, "echo", "x", stream=True, most=2)
    assert [name for name, _ in events] == ["started", "text"]
    row = AgentExecution.objects.get()
    assert row.status == Status.CANCELLED


def test_streams_of_many_readers(ask, users):
    async def all_of_them():
        headers = {"Authorization": f"Bearer {secret}"}
        path = "/api/orchestrator/ai-agents/echo/run/"

        async def one(number):
            body = {"prompt": f"number {number}", "stream": True}
            response = await AsyncClient().post(path, body, content_type="application/json", headers=headers)
            return parsed([part async for part in response.streaming_content])[-1][1]["output"]

        return await asyncio.gather(*map(one, range(8)))

    secret = token_of(users["ann"])
    assert async_to_sync(all_of_them)() == [f"number {number}" for number in range(8)]
    assert AgentExecution.objects.filter(status=Status.COMPLETED).count() == 8
