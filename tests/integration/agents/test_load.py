"""Many runs at once against one real server, in one process."""

import asyncio
import threading
import time
from collections import Counter

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections

from pgknowbase.agents.models import AgentExecution, Status, ToolExecution
from pgknowbase.testing import ChatProvider, ToolCall
from tests.integration.agents.conftest import make_agent

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = 200
# Beside the test's own: the heart's and the watcher's. Runs of one loop share a connection.
BOUND = 3


@pytest.fixture
def provider(set_agents):
    with ChatProvider() as provider:
        set_agents(PROVIDERS={"parrot": provider.settings()}, MODEL="parrot:grey")
        yield provider


def in_use():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


@pytest.fixture
def watched():
    """The most connections at any time of the test, counted on a thread of its own; afterwards as many as before."""
    connection.ensure_connection()
    before, seen, ended = in_use(), [], threading.Event()

    def watch():
        try:
            while not ended.wait(0.1):
                seen.append(in_use())
        finally:
            connections.close_all()

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    ended.set()
    thread.join()
    deadline = time.monotonic() + 30
    while (left := in_use()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left <= before
    assert before < max(seen) <= before + BOUND


def answered(body):
    """Every fourth is sent to the tool, and hears what it said."""
    last = body["messages"][-1]
    said = str(last["content"])
    return ToolCall("double", {"word": said}) if said.isdecimal() and not int(said) % 4 else said


def check(results):
    prompts = [str(number) for number in range(RUNS)]
    doubled = {prompt: f"{prompt} {prompt} of 1" for prompt in prompts[::4]}
    expected = {prompt: doubled.get(prompt, prompt) for prompt in prompts}
    assert [result.output for result in results] == list(expected.values())
    rows = AgentExecution.objects.in_bulk([result.execution_id for result in results])
    assert len(rows) == AgentExecution.objects.count() == RUNS
    assert {row.input_prompt: row.output_data for row in rows.values()} == expected
    # Words: one asked, one answered; or that, a call for five, and four more heard and said again.
    assert Counter((row.status, row.requests, row.tokens_used) for row in rows.values()) == {
        (Status.COMPLETED, 1, 2): RUNS - len(doubled),
        (Status.COMPLETED, 2, 6 + 1 + 4 + 4): len(doubled),
    }
    calls = ToolExecution.objects.values_list("execution__input_prompt", "result", "status")
    assert sorted(calls) == sorted((prompt, said, "COMPLETED") for prompt, said in doubled.items())


def test_runs_on_one_loop(provider, watched):
    # Each waits for all of them.
    provider.answer, agent = answered, make_agent(timeout=600)

    @agent.tool_plain
    def double(word: str) -> str:
        """Say it twice."""
        return f"{word} {word} of {AgentExecution.objects.filter(input_prompt=word, status=Status.RUNNING).count()}"

    async def all_at_once():
        return await asyncio.gather(*(agent.run(str(number)) for number in range(RUNS)))

    check(async_to_sync(all_at_once)())
    assert len(provider.requests) == RUNS + RUNS // 4
