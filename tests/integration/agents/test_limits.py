"""Budgets, limits, cancellation, and runs whose process died."""

import asyncio
import threading
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from pydantic_ai.messages import ModelResponse, TextPart

from pgknowbase.agents import DjangoDeps, FunctionModel, TestModel
from pgknowbase.agents.background.sweep import LOST_PROCESS, sweep_runs
from pgknowbase.agents.models import AgentBudget, AgentExecution, Status, ToolExecution
from pgknowbase.agents.runs.cancelling import cancel_execution
from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.errors import BudgetExceededError, RunCancelledError, RunFailedError
from tests.integration.agents.conftest import make_agent

pytestmark = pytest.mark.django_db(transaction=True)


def run(user=None, name="tester", **options):
    deps = DjangoDeps(user_id=user.pk if user else None)
    return make_agent(name, **options).run_sync("x", deps=deps, model=TestModel())


def spent(user, **values):
    return AgentExecution.objects.create(
        agent_name="tester", user=user, input_prompt="", started_at=timezone.now(), status="COMPLETED", **values
    )


def test_budget_of_runs_per_user(user, set_agents):
    set_agents(BUDGET_PER_USER={"RUNS": 2})
    asked = []
    for _ in range(2):
        run(user)
    with pytest.raises(BudgetExceededError, match=f"user {user.pk} for today is used up: 2 of 2 runs"):
        make_agent().run_sync("x", deps=DjangoDeps(user_id=user.pk), model=FunctionModel(lambda *_: asked.append(1)))
    assert not asked
    assert AgentExecution.objects.count() == 2
    run(User.objects.create_user("bob"))
    AgentExecution.objects.update(started_at=timezone.now() - timedelta(days=1))
    run(user)


def test_budget_per_agent_and_in_total(set_agents):
    set_agents(BUDGET_PER_AGENT={"RUNS": 1}, BUDGET_TOTAL={"RUNS": 2})
    run(name="a")
    with pytest.raises(BudgetExceededError, match="agent 'a'"):
        run(name="a")
    run(name="b")
    with pytest.raises(BudgetExceededError, match="all runs"):
        run(name="c")


def test_budget_of_tokens_and_of_cost(user, set_agents):
    set_agents(BUDGET_PER_USER={"TOKENS": 1000, "COST": "1.5"})
    spent(user, tokens_used=999, cost=Decimal("1.49"))
    with pytest.raises(RunFailedError, match="total_tokens_limit"):
        run(user)
    spent(user, tokens_used=1)
    with pytest.raises(BudgetExceededError, match="of 1000 tokens"):
        run(user)
    AgentExecution.objects.update(tokens_used=0)
    spent(user, cost=Decimal("0.01"))
    with pytest.raises(BudgetExceededError, match=r"of 1\.5 cost"):
        run(user)


def test_row_of_a_budget_wins_over_the_settings(user, set_agents):
    set_agents(BUDGET_PER_USER={"RUNS": 0})
    with pytest.raises(BudgetExceededError):
        run(user)
    AgentBudget.objects.create(user=user, runs=5)
    run(user)
    AgentBudget.objects.create(user=user, agent_name="tester", runs=1)
    with pytest.raises(BudgetExceededError, match="with agent 'tester'"):
        run(user)


def test_last_run_of_a_budget_goes_to_one_of_many(user, set_agents, django_db_blocker):
    set_agents(BUDGET_PER_USER={"RUNS": 3})
    ended = []

    def work():
        with django_db_blocker.unblock():
            try:
                run(user)
                ended.append("run")
            except BudgetExceededError:
                ended.append("refused")
            finally:
                connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["refused"] * 5 + ["run"] * 3


def test_limit_of_requests(set_agents):
    set_agents(REQUEST_LIMIT=1)
    agent = make_agent()
    agent.tool_plain(lambda_tool)
    with pytest.raises(RunFailedError, match="request_limit of 1"):
        agent.run_sync("x", model=TestModel())


def lambda_tool() -> str:
    """Nothing."""
    return "nothing"


async def _cancelled(stop):
    started = asyncio.Event()

    async def slow(messages, info):
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(make_agent().run("x", model=FunctionModel(slow)))
    await started.wait()
    row = await AgentExecution.objects.aget()
    await stop(row)
    with pytest.raises(RunCancelledError) as caught:
        await task
    assert caught.value.execution_id == row.pk
    await row.arefresh_from_db()
    assert row.status == Status.CANCELLED


async def test_cancel_in_the_same_process():
    from asgiref.sync import sync_to_async

    await _cancelled(lambda row: sync_to_async(cancel_execution)(row.pk))


async def test_cancel_from_another_process_is_seen_by_the_heartbeat():
    from asgiref.sync import sync_to_async

    async def elsewhere(row):
        await AgentExecution.objects.aupdate(cancel_requested=True)
        await sync_to_async(heartbeat.beat)()

    await _cancelled(elsewhere)


def test_cancel_of_what_waits_and_of_what_has_ended():
    row = AgentExecution.objects.create(agent_name="x", input_prompt="")
    assert cancel_execution(row.pk)
    row.refresh_from_db()
    assert row.status == Status.CANCELLED
    assert not cancel_execution(row.pk)


def test_sweep_marks_runs_of_dead_processes_and_no_others():
    old = timezone.now() - timedelta(hours=1)
    dead = AgentExecution.objects.create(agent_name="x", input_prompt="", status="RUNNING", heartbeat_at=old)
    ToolExecution.objects.create(execution=dead, tool_name="t", tool_call_id="1", started_at=old)
    alive = AgentExecution.objects.create(
        agent_name="x", input_prompt="", status="RUNNING", heartbeat_at=timezone.now()
    )
    assert sweep_runs().failed == 1
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.status, dead.error) == (Status.FAILED, LOST_PROCESS)
    assert dead.tools.get().status == "FAILED"
    assert alive.status == Status.RUNNING


def test_process_that_is_killed_in_mid_run(manage, tmp_path):
    mark = tmp_path / "mark"
    process = manage("run_agent", "sleeper", str(mark))
    deadline = time.monotonic() + 120
    while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mark.exists(), process.communicate()
    row = AgentExecution.objects.get()
    assert (row.status, row.background, row.input_prompt) == (Status.RUNNING, False, str(mark))
    process.kill()
    process.wait()
    assert sweep_runs().failed == 0  # it may still be alive
    AgentExecution.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert sweep_runs().failed == 1
    row.refresh_from_db()
    assert (row.status, row.error) == (Status.FAILED, LOST_PROCESS)
    assert row.completed_at
    assert sweep_runs().failed == 0


def test_call_of_a_run_that_was_swept_is_not_overwritten():
    agent = make_agent()

    @agent.tool_plain
    def slow() -> str:
        """Slow."""
        ToolExecution.objects.update(status="FAILED", error="swept")
        return "late"

    agent.run_sync("x", model=TestModel())
    call = ToolExecution.objects.get()
    assert (call.status, call.error, call.result) == ("FAILED", "swept", None)


def test_run_that_was_swept_does_not_overwrite_the_row():
    async def answer(messages, info):
        await AgentExecution.objects.aupdate(status="FAILED", error="swept")
        return ModelResponse(parts=[TextPart("late")])

    make_agent().run_sync("x", model=FunctionModel(answer))
    assert AgentExecution.objects.get().error == "swept"


def test_heartbeat_beats(monkeypatch):
    monkeypatch.setattr("pgknowbase.agents.runs.heartbeat.HEARTBEAT_INTERVAL", 0.05)
    monkeypatch.setattr(heartbeat, "_thread", None)  # that of an earlier test may still wait for its next beat
    beats = set()

    async def slow(messages, info):
        for _ in range(100):
            await asyncio.sleep(0.05)
            beats.add((await AgentExecution.objects.aget()).heartbeat_at)
            if len(beats) > 2:
                break
        return ModelResponse(parts=[TextPart("x")])

    make_agent().run_sync("x", model=FunctionModel(slow))
    assert len(beats) > 2
