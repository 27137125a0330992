"""A real server that speaks the wire format of chat completions, and its faults."""

import asyncio

import pytest
from pydantic import BaseModel

from pgknowbase.agents import DjangoDeps, RunContext
from pgknowbase.agents.models import AgentExecution, Status, ToolExecution
from pgknowbase.errors import RunFailedError, RunTimeoutError
from pgknowbase.testing import ChatProvider, Fault, ToolCall
from tests.integration.agents.conftest import make_agent

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "key-of-the-provider"


@pytest.fixture
def provider(set_agents, monkeypatch):
    monkeypatch.setenv("PARROT_KEY", KEY)
    with ChatProvider() as provider:
        set_agents(PROVIDERS={"parrot": provider.settings(API_KEY_ENV="PARROT_KEY")}, MODEL="parrot:grey")
        yield provider


def test_run(provider):
    result = make_agent().run_sync("say hello")
    assert result.output == "say hello"
    assert provider.requests[0]["model"] == "grey"
    assert provider.keys == [KEY]
    row = AgentExecution.objects.get()
    assert (row.status, row.model, row.tokens_used) == (Status.COMPLETED, "parrot:grey", 4)
    assert row.cost is None


def test_tool_call(provider):
    agent = make_agent()

    @agent.tool
    async def add(ctx: RunContext[DjangoDeps], a: int, b: int) -> int:
        """Add."""
        return a + b

    provider.say(ToolCall("add", {"a": 2, "b": 3}), "five")
    assert agent.run_sync("2 + 3").output == "five"
    assert provider.requests[1]["messages"][-1]["content"] == "5"
    call = ToolExecution.objects.get()
    assert (call.arguments, call.result, call.status) == ({"a": 2, "b": 3}, 5, "COMPLETED")


def test_structured_output(provider):
    class City(BaseModel):
        name: str
        people: int

    provider.answer = lambda body: ToolCall(body["tools"][0]["function"]["name"], {"name": "Ulm", "people": 3})
    assert make_agent(output_type=City).run_sync("x").output == City(name="Ulm", people=3)


async def test_streaming(provider):
    provider.say("one two three four five")
    async with make_agent().run_stream("count") as answer:
        pieces = [piece async for piece in answer.stream_text(delta=True)]
        assert (await AgentExecution.objects.aget()).status == Status.RUNNING
    assert "".join(pieces) == "one two three four five"
    assert provider.requests[0]["stream"] is True
    row = await AgentExecution.objects.aget()
    assert (row.pk, row.status, row.output_data) == (answer.execution_id, Status.COMPLETED, "one two three four five")
    assert row.tokens_used == 6


async def test_streaming_with_a_tool_call(provider):
    agent = make_agent()

    @agent.tool_plain
    def look() -> str:
        """Look."""
        return "seen"

    provider.say(ToolCall("look"), "I have seen it")
    assert "".join([piece async for piece in agent.stream("look!")]) == "I have seen it"
    assert (await ToolExecution.objects.aget()).result == "seen"


async def test_reader_who_leaves_cancels(provider):
    provider.say("word " * 400)
    async with make_agent().run_stream("count") as answer:
        async for _ in answer.stream_text(delta=True):
            break
    row = await AgentExecution.objects.aget()
    assert (row.status, row.error) == (Status.CANCELLED, "The reader left before the end.")
    assert row.completed_at


@pytest.mark.parametrize(
    "fault", [Fault.rate_limit(0), Fault.server_error(500), Fault.server_error(503), Fault.disconnect()], ids=str
)
def test_fault_that_passes_is_tried_again_and_no_tool_runs_twice(provider, fault):
    agent, ran = make_agent(), []

    @agent.tool_plain
    def once() -> str:
        """Once."""
        ran.append(1)
        return "done"

    provider.answer = lambda body: "end" if body["messages"][-1]["role"] == "tool" else ToolCall("once")
    provider.fail_next(fault)
    assert agent.run_sync("x").output == "end"
    provider.answer = lambda body: provider.fail_next(fault) or ToolCall("once")
    provider.say(ToolCall("once"), "end")
    assert agent.run_sync("x").output == "end"
    assert len(ran) == 2


@pytest.mark.parametrize(
    "fault",
    [Fault.rate_limit(0), Fault.server_error(500), Fault.server_error(401), Fault.disconnect(), Fault.malformed_json()],
    ids=str,
)
def test_fault_that_stays_is_recorded_without_the_key(provider, fault):
    provider.fail_always(fault)
    with pytest.raises(RunFailedError) as caught:
        make_agent(max_retries=1).run_sync("x")
    assert len(provider.requests) == (1 if fault.status == 401 else 2)
    row = AgentExecution.objects.get(pk=caught.value.execution_id)
    assert row.status == Status.FAILED
    assert row.error
    assert KEY not in row.error + str(row.messages) + str(caught.value)


def test_slow_provider_runs_into_the_timeout(provider):
    provider.fail_always(Fault.timeout(30))
    with pytest.raises(RunTimeoutError):
        make_agent(timeout=0.3).run_sync("x")
    assert AgentExecution.objects.get().status == Status.FAILED


async def read(agent):
    """The whole answer, streamed."""
    async with agent.run_stream("x") as answer:
        return "".join([piece async for piece in answer.stream_text(delta=True)])


@pytest.mark.parametrize("fault", [Fault.rate_limit(0), Fault.server_error(500), Fault.server_error(503)], ids=str)
async def test_fault_before_a_stream_begins_is_tried_again(provider, fault):
    provider.fail_next(fault)
    assert await read(make_agent()) == "x"
    assert len(provider.requests) == 2
    assert (await AgentExecution.objects.aget()).status == Status.COMPLETED


@pytest.mark.parametrize(
    "fault",
    [Fault.rate_limit(0), Fault.server_error(500), Fault.server_error(401), Fault.disconnect(), Fault.malformed_json()],
    ids=str,
)
async def test_fault_of_a_stream_that_stays_is_recorded_without_the_key(provider, fault):
    provider.fail_always(fault)
    with pytest.raises(RunFailedError) as caught:
        await read(make_agent(max_retries=1))
    row = await AgentExecution.objects.aget(pk=caught.value.execution_id)
    assert row.status == Status.FAILED
    assert row.error
    assert row.completed_at
    assert KEY not in row.error + str(row.messages) + str(caught.value)


async def test_slow_stream_runs_into_the_timeout(provider):
    provider.fail_always(Fault.timeout(30))
    with pytest.raises(RunTimeoutError):
        await read(make_agent(timeout=0.3))
    assert (await AgentExecution.objects.aget()).status == Status.FAILED


def test_provider_that_says_how_long_to_wait_is_obeyed(provider, caplog):
    provider.fail_next(Fault.rate_limit(1))
    assert make_agent().run_sync("x").output == "x"
    assert "retry in 1.0 s" in caplog.text


def test_wait_that_is_longer_than_the_run_may_last_is_no_wait(provider):
    provider.fail_next(Fault.rate_limit(3600))
    with pytest.raises(RunFailedError, match="429"):
        make_agent(timeout=600).run_sync("x")
    assert len(provider.requests) == 1


async def test_disconnect_in_mid_stream_is_a_failure(provider):
    provider.fail_always(Fault.disconnect())
    got = []
    with pytest.raises(RunFailedError):  # noqa: PT012
        async with make_agent(max_retries=0).run_stream("x") as answer:
            async for piece in answer.stream_text(delta=True):
                got.append(piece)
    row = await AgentExecution.objects.aget()
    assert row.status == Status.FAILED
    assert row.error


def test_client_of_one_run_is_not_used_by_the_next(provider):
    agent = make_agent()
    for number in range(5):
        assert agent.run_sync(f"n {number}").output == f"n {number}"
    assert asyncio.run(agent.run("in a loop of its own")).output == "in a loop of its own"
