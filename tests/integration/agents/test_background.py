"""Runs in the background, also past a worker that is killed."""

import os
import signal
import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from pgknowbase.agents import DjangoDeps, TestModel
from pgknowbase.agents.background import run_in_background, run_workflow_in_background, sweep_runs
from pgknowbase.agents.background.jobs import run_agent
from pgknowbase.agents.background.queue import queue_backend
from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.agents.registry import agents
from pgknowbase.errors import AgentError, BudgetExceededError, UnknownAgentError
from tests.integration.agents.conftest import work_off
from tests.projects.assistants.agents import echo

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr(echo, "model", TestModel(custom_output_text="said"))


def test_run(user):
    row = run_in_background("echo", "hello", deps=DjangoDeps(user_id=user.pk, session_data={"a": 1}))
    assert (row.status, row.background, row.user_id) == (Status.PENDING, True, user.pk)
    work_off()
    row.refresh_from_db()
    assert (row.status, row.output_data, row.attempts) == (Status.COMPLETED, "said", 1)
    assert row.started_at >= row.created_at


def test_backend_that_keeps_no_queue_is_refused(settings):
    module = type(queue_backend()).__mro__[1].__module__.partition(".backends")[0]
    settings.TASKS = {"default": {"BACKEND": f"{module}.backends.immediate.ImmediateBackend"}}
    with pytest.raises(AgentError, match="set a backend with a queue"), transaction.atomic():
        run_in_background("echo", "hello")
    assert not AgentExecution.objects.exists()


def test_belongs_to_the_callers_transaction():
    with transaction.atomic():
        run_in_background("echo", "hello")
        transaction.set_rollback(True)
    assert not AgentExecution.objects.exists()
    assert not DBTaskResult.objects.exists()


def test_runs_of_one_user_that_wait_are_bounded(user, set_agents):
    set_agents(MAX_QUEUED_RUNS=2)
    deps = DjangoDeps(user_id=user.pk)
    run_in_background("echo", "one", deps=deps)
    run_workflow_in_background("sequential", ["echo", "echo"], prompt="two", deps=deps)
    for queue in (
        lambda: run_in_background("echo", "three", deps=deps),
        lambda: run_workflow_in_background("sequential", ["echo", "echo"], prompt="three", deps=deps),
    ):
        with pytest.raises(BudgetExceededError, match="2 runs and workflows waiting, and 2 is the most"):
            queue()
    for _ in range(3):
        run_in_background("echo", "of the project itself")
    assert AgentExecution.objects.count() == 4
    work_off()
    run_in_background("echo", "four", deps=deps)


def test_runs_that_wait_count_against_a_budget_of_runs(user, set_agents):
    set_agents(BUDGET_PER_USER={"RUNS": 2})
    deps = DjangoDeps(user_id=user.pk)
    for _ in range(2):
        run_in_background("echo", "x", deps=deps)
    with pytest.raises(BudgetExceededError, match="0 of 2 runs, and 2 wait"):
        run_in_background("echo", "x", deps=deps)
    work_off()
    assert set(AgentExecution.objects.values_list("status", flat=True)) == {Status.COMPLETED}


def test_unknown_agent():
    with pytest.raises(UnknownAgentError, match="'nobody' is unknown"):
        run_in_background("nobody", "x")


def test_same_task_twice_runs_once():
    row = run_in_background("echo", "hello")
    run_agent.call(str(row.pk))
    run_agent.call(str(row.pk))
    row.refresh_from_db()
    assert (row.status, row.attempts) == (Status.COMPLETED, 1)


def test_agent_that_is_gone_fails_the_run(monkeypatch):
    row = run_in_background("echo", "hello")
    monkeypatch.delitem(agents, "echo")
    work_off()
    row.refresh_from_db()
    assert row.status == Status.FAILED
    assert "'echo' is unknown" in row.error


def test_budget_holds_in_the_background(user, set_agents):
    rows = [run_in_background("echo", "x", deps=DjangoDeps(user_id=user.pk)) for _ in range(2)]
    set_agents(BUDGET_PER_USER={"RUNS": 1})
    work_off()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [Status.COMPLETED, Status.FAILED]


def silence(row, **changes):
    AgentExecution.objects.filter(pk=row.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1), **changes)


def test_sweep_queues_again_what_died_and_gives_up_in_the_end(set_agents):
    set_agents(MAX_BACKGROUND_ATTEMPTS=2)
    row = run_in_background("echo", "hello")
    DBTaskResult.objects.update(status="RUNNING")
    silence(row, status="RUNNING", attempts=1)
    assert sweep_runs().queued == 1
    row.refresh_from_db()
    assert row.status == Status.PENDING
    silence(row, status="RUNNING", attempts=2)
    assert sweep_runs().failed == 1
    row.refresh_from_db()
    assert row.status == Status.FAILED


def test_sweep_finds_runs_whose_task_was_lost_and_leaves_those_that_wait_in_line():
    lost, waits = run_in_background("echo", "lost"), run_in_background("echo", "waits")
    DBTaskResult.objects.filter(pk=lost.task_id).update(status="RUNNING")
    silence(lost)
    silence(waits)
    assert sweep_runs().queued == 1
    assert DBTaskResult.objects.count() == 3
    work_off()
    assert AgentExecution.objects.filter(status=Status.COMPLETED, attempts=1).count() == 2


@pytest.mark.django_db(transaction=True)
def test_worker_that_is_killed_in_mid_run(manage, set_agents, tmp_path):
    mark = tmp_path / "mark"
    row = run_in_background("sleeper", str(mark))
    worker = manage("db_worker", "--no-startup-delay", "--interval", "0.1")
    deadline = time.monotonic() + 120
    while not mark.exists() and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mark.exists(), worker.communicate()
    row.refresh_from_db()
    assert row.status == Status.RUNNING
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    silence(row)
    assert sweep_runs().queued == 1
    work_off()
    row.refresh_from_db()
    assert (row.status, row.output_data, row.attempts) == (Status.COMPLETED, "awake", 2)
