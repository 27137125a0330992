"""Workflows: in a row, side by side, by decision, nested; and after a crash."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db.models.signals import post_save
from django.utils import timezone
from pydantic_ai.messages import ModelResponse, TextPart

from pgknowbase.agents import DjangoDeps, FunctionModel, SimpleOrchestrator, Step
from pgknowbase.agents.background import run_workflow_in_background
from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.workflows import Conditional, Parallel, Sequential
from pgknowbase.errors import AgentError, NoModelError, UnknownAgentError, WorkflowError
from tests.integration.agents.conftest import make_agent, saying

pytestmark = pytest.mark.django_db


def wrapping(name, calls=None):
    """An agent that puts its name around the end of its prompt."""

    def answer(messages, info):
        prompt = messages[0].parts[0].content
        if calls is not None:
            calls.append(name)
        return ModelResponse(parts=[TextPart(f"{name}({prompt.splitlines()[-1]})")])

    return make_agent(name, model=FunctionModel(answer))


def failing(name, *answers):
    return make_agent(name, model=saying(*(answers or [ValueError("broken")])), max_retries=0)


@pytest.mark.parametrize("is_async", [False, True])
def test_receivers_of_workflows_lose_nothing(user, is_async):
    names = []

    def fail(instance, **_):
        names.append(instance.user.username)
        raise RuntimeError("not in this house")

    async def fail_async(instance, **_):
        fail(instance)

    receiver = fail_async if is_async else fail
    post_save.connect(receiver, sender=WorkflowExecution)
    try:
        result = SimpleOrchestrator().execute_sync(
            "sequential", [wrapping("a"), wrapping("b")], prompt="x", deps=DjangoDeps(user_id=user.pk)
        )
    finally:
        post_save.disconnect(receiver, sender=WorkflowExecution)
    row = WorkflowExecution.objects.get(pk=result.workflow_id)
    assert (row.status, row.final_output, result.output) == ("COMPLETED", "b(a(x))", "b(a(x))")
    assert set(names) == {user.username}
    assert "RuntimeError: not in this house" in row.error


def test_sequential_steps_see_the_former_output(user):
    seen = []
    post_save.connect(receiver := lambda instance, **_: seen.append(instance.status), sender=WorkflowExecution)
    try:
        result = SimpleOrchestrator().execute_sync(
            "sequential", [wrapping("a"), wrapping("b"), wrapping("c")], prompt="x", deps=DjangoDeps(user_id=user.pk)
        )
    finally:
        post_save.disconnect(receiver, sender=WorkflowExecution)
    assert result.output == "c(b(a(x)))"
    assert [step.agent for step in result.steps] == ["a", "b", "c"]
    row = WorkflowExecution.objects.get(pk=result.workflow_id)
    assert (row.status, row.pattern, row.progress, row.final_output) == ("COMPLETED", "sequential", 100, "c(b(a(x)))")
    assert (row.agents, row.completed_steps, row.total_steps) == (["a", "b", "c"], 3, 3)
    assert row.user_id == user.pk
    runs = AgentExecution.objects.filter(workflow=row).order_by("order")
    assert [(run.agent_name, run.order, run.user_id) for run in runs] == [
        (n, i + 1, user.pk) for i, n in enumerate("abc")
    ]
    assert row.total_tokens == result.total_tokens == sum(run.tokens_used for run in runs)
    assert seen[0] == "RUNNING"
    assert seen[-1] == "COMPLETED"


def test_agents_by_name():
    orchestrator = SimpleOrchestrator()
    orchestrator.register_agent(wrapping("mine"))
    assert orchestrator.execute_sync("sequential", ["mine"], prompt="x").output == "mine(x)"
    with pytest.raises(WorkflowError, match="'nobody' is unknown"):
        orchestrator.execute_sync("sequential", ["nobody"], prompt="x")


async def test_parallel_is_bounded():
    now, most, both = 0, 0, asyncio.Barrier(2)

    async def answer(messages, info):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await both.wait()
        now -= 1
        return ModelResponse(parts=[TextPart("done")])

    agents = [make_agent(f"p{n}", model=FunctionModel(answer)) for n in range(6)]
    result = await SimpleOrchestrator().execute("parallel", agents, prompt="x", concurrency=2)
    assert result.output == {f"p{n}": "done" for n in range(6)}
    assert most == 2


def test_partial_failure_is_reported():
    result = SimpleOrchestrator().execute_sync("parallel", [wrapping("a"), failing("b")], prompt="x")
    assert result.output == {"a": "a(x)"}
    (failure,) = result.failures
    assert (failure.agent, failure.path) == ("b", "1/b")
    assert "broken" in failure.error
    row = WorkflowExecution.objects.get()
    assert row.status == Status.COMPLETED
    assert "1/b" in row.error
    assert AgentExecution.objects.get(pk=failure.execution_id).status == Status.FAILED


def test_all_failed_or_all_required():
    orchestrator = SimpleOrchestrator()
    with pytest.raises(WorkflowError, match="2 of 2 parallel parts failed"):
        orchestrator.execute_sync("parallel", [failing("a"), failing("b")], prompt="x")
    with pytest.raises(WorkflowError, match="1 of 2 parallel parts failed") as caught:
        orchestrator.execute_sync(workflow=Parallel([wrapping("a"), failing("b")], require_all=True), prompt="x")
    assert WorkflowExecution.objects.get(pk=caught.value.workflow_id).status == Status.FAILED


@pytest.mark.parametrize(("answer", "taken"), [("sad", "sad(x)"), (" 'Happy'. ", "happy(x)")])
def test_conditional(answer, taken):
    decider = make_agent("decider", model=saying(answer))
    result = SimpleOrchestrator().execute_sync("conditional", [decider, wrapping("happy"), wrapping("sad")], prompt="x")
    assert result.output == taken
    assert AgentExecution.objects.count() == 2


def test_decision_that_names_nothing():
    branches = {"a": wrapping("a"), "b": wrapping("b")}
    orchestrator, decider = SimpleOrchestrator(), make_agent("d", model=saying("whatever"))
    with pytest.raises(WorkflowError, match="'whatever' does not name a branch: expected one of 'a', 'b'"):
        orchestrator.execute_sync(workflow=Conditional(decider, branches), prompt="x")
    assert orchestrator.execute_sync(workflow=Conditional(decider, branches, default="b"), prompt="x").output == "b(x)"
    by_function = Conditional(lambda prompt, former: "a" if prompt == "x" else "b", branches)
    assert orchestrator.execute_sync(workflow=by_function, prompt="x").output == "a(x)"


def test_nested():
    inner = Parallel([wrapping("b"), Sequential([wrapping("c"), wrapping("d")])])
    workflow = Sequential([wrapping("a"), inner, Step(wrapping("e"), prompt=lambda prompt, former: former["b"])])
    result = SimpleOrchestrator().execute_sync(workflow=workflow, prompt="x")
    assert result.output == "e(b(a(x)))"
    assert {step.path for step in result.steps} == {"0/a", "1/0/b", "1/1/0/c", "1/1/1/d", "2/e"}


def test_step_is_tried_again():
    agent = failing("flaky", ValueError("once"), "fine")
    assert SimpleOrchestrator().execute_sync(workflow=Step(agent, retries=1), prompt="x").output == "fine"
    assert sorted(AgentExecution.objects.values_list("status", flat=True)) == ["COMPLETED", "FAILED"]


async def test_timeout_of_the_whole():
    async def slow(messages, info):
        await asyncio.sleep(30)

    with pytest.raises(WorkflowError, match=r"longer than 0\.05 s"):
        await SimpleOrchestrator().execute(
            "sequential", [make_agent("slow", model=FunctionModel(slow))], prompt="x", timeout=0.05
        )
    assert (await WorkflowExecution.objects.aget()).status == Status.FAILED
    assert (await AgentExecution.objects.aget()).status == Status.CANCELLED


async def test_resume_does_not_repeat_finished_steps():
    calls = []
    orchestrator = SimpleOrchestrator()
    for agent in (wrapping("a", calls), failing("b", ValueError("once"), "b is fine"), wrapping("c", calls)):
        orchestrator.register_agent(agent)
    with pytest.raises(WorkflowError, match="resume") as caught:
        await orchestrator.execute("sequential", ["a", "b", "c"], prompt="x")
    row = await WorkflowExecution.objects.aget()
    assert (row.status, row.completed_steps, row.progress) == (Status.FAILED, 1, 33)
    result = await orchestrator.resume(caught.value.workflow_id)
    assert result.output == "c(b is fine)"
    assert calls == ["a", "c"]
    with pytest.raises(WorkflowError, match="is completed"):
        await orchestrator.resume(caught.value.workflow_id)


async def test_resume_after_a_crash_takes_only_what_is_silent():
    row = await WorkflowExecution.objects.acreate(
        workflow_name="w",
        pattern="sequential",
        agents=["a", "b"],
        initial_prompt="x",
        total_steps=2,
        status="RUNNING",
        heartbeat_at=timezone.now(),
        state={"0/a": {"output": "kept", "agent": "a"}},
    )
    calls, orchestrator = [], SimpleOrchestrator()
    orchestrator.register_agent(wrapping("a", calls))
    orchestrator.register_agent(wrapping("b", calls))
    with pytest.raises(WorkflowError, match="is running: wait for it"):
        await orchestrator.resume(row.pk)
    await WorkflowExecution.objects.aupdate(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert (await orchestrator.resume(row.pk)).output == "b(kept)"
    assert calls == ["b"]


def test_nested_workflow_is_resumed_by_name_only():
    agent = failing("b", ValueError("once"), "fine")
    workflow = Sequential([wrapping("a"), Sequential([wrapping("c"), agent])])
    orchestrator = SimpleOrchestrator()
    orchestrator.define("nest", workflow)
    with pytest.raises(WorkflowError) as caught:
        orchestrator.execute_sync(workflow="nest", prompt="x")
    assert async_to_sync(orchestrator.resume)(caught.value.workflow_id).output == "fine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": "circular", "agents": ["a"]}, "'circular' is unknown"),
        ({"pattern": "sequential", "agents": []}, "name more of them"),
        ({"pattern": "conditional", "agents": ["a"]}, "name more of them"),
        ({}, "either a pattern"),
        ({"workflow": "nothing"}, "not defined"),
    ],
)
def test_bad_workflows(arguments, said):
    with pytest.raises(WorkflowError, match=said):
        SimpleOrchestrator().execute_sync(**arguments, prompt="x")
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("concurrency", [0, -2])
def test_concurrency_that_lets_nothing_run(concurrency):
    with pytest.raises(WorkflowError, match="out of range"):
        SimpleOrchestrator().execute_sync("parallel", [wrapping("a")], prompt="x", concurrency=concurrency)
    assert not WorkflowExecution.objects.exists()


def test_what_no_worker_could_run_is_not_queued():
    for agents in (["nobody"], [wrapping("mine")]):
        with pytest.raises(UnknownAgentError):
            run_workflow_in_background("sequential", agents, prompt="x")
    with pytest.raises(NoModelError):
        run_workflow_in_background("sequential", ["echo"], prompt="x")
    with pytest.raises(AgentError, match="is not text"):
        run_workflow_in_background("sequential", ["content_analyzer"], prompt=5)
    assert not WorkflowExecution.objects.exists()
