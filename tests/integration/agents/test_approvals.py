"""A tool call that a person has to allow pauses the run, and a decision lets it go on."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from pgknowbase.agents import DjangoDeps, RunContext, SimpleOrchestrator, aget_agent
from pgknowbase.agents.approvals import Decision, adecide, decide
from pgknowbase.agents.background import arun_in_background, arun_workflow_in_background, sweep_runs
from pgknowbase.agents.background.queue import queue_backend
from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, ToolExecution, WorkflowExecution
from pgknowbase.agents.registry import agents
from pgknowbase.agents.runs.cancelling import acancel_execution, cancel_execution
from pgknowbase.agents.workflows import Sequential, Step, store
from pgknowbase.errors import ApprovalError, ApprovalNeededError
from tests.integration.agents.conftest import make_agent, saying, work_off

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db):
    boss = User.objects.create_user("boss")
    boss.user_permissions.add(Permission.objects.get(codename="change_approvalrequest"))
    return boss


@pytest.fixture(params=["permissions", "requires_approval"])
def agent(request, monkeypatch):
    by_permission = request.param == "permissions"
    agent = make_agent("sender", permissions={"send": "ask"} if by_permission else {})
    agent.sent = []

    @agent.tool(requires_approval=not by_permission)
    def send(ctx: RunContext[DjangoDeps], to: str) -> str:
        """Send a letter."""
        agent.sent.append(to)
        return f"sent to {to} as {ctx.agent_name}"

    agent.model = saying(("send", {"to": "ann"}), "all done")
    monkeypatch.setitem(agents, "sender", agent)
    return agent


def paused(agent, user):
    with pytest.raises(ApprovalNeededError, match="'send'") as caught:
        agent.run_sync("write to ann", deps=DjangoDeps(user_id=user.pk))
    return AgentExecution.objects.get(pk=caught.value.execution_id)


def test_run_is_paused(agent, user):
    row = paused(agent, user)
    assert (row.status, row.completed_at, row.output_data) == (Status.PENDING, None, None)
    assert row.messages
    assert not agent.sent
    request = row.approvals.get()
    assert (request.tool_name, request.arguments, request.status) == ("send", {"to": "ann"}, "PENDING")
    assert row.tools.get().status == "WAITING"


def test_approved(agent, user, boss):
    row = paused(agent, user)
    assert decide(row.approvals.get().pk, approve=True, by=boss) == Decision(continues=True)
    work_off()
    row.refresh_from_db()
    assert (row.status, row.output_data, agent.sent) == (Status.COMPLETED, "all done", ["ann"])
    assert row.requests == 2
    assert row.user_id == user.pk
    call = row.tools.get()
    assert (call.status, call.result) == ("COMPLETED", "sent to ann as sender")
    request = row.approvals.get()
    assert (request.status, request.decided_by, request.decided_at is None) == ("APPROVED", boss, False)


def test_refused(agent, user, boss):
    row = paused(agent, user)
    decide(row.approvals.get().pk, approve=False, by=boss, reason="not on Sundays")
    work_off()
    row.refresh_from_db()
    assert (row.status, row.output_data, agent.sent) == (Status.COMPLETED, "all done", [])
    assert "not on Sundays" in str(row.messages)
    assert row.tools.get().status == "REFUSED"


def test_who_may_decide_and_once(agent, user, boss):
    request = paused(agent, user).approvals.get()
    for nobody in (user, None):
        with pytest.raises(ApprovalError, match="may not decide"):
            decide(request.pk, approve=True, by=nobody)
    decide(request.pk, approve=False, by=boss)
    with pytest.raises(ApprovalError, match="nothing left to decide"):
        decide(request.pk, approve=True, by=boss)
    work_off()
    assert not agent.sent


def test_run_that_waits_does_not_go_on_before_the_decision(agent, user):
    row = paused(agent, user)
    assert async_to_sync(agent.resume)(row.pk) is None
    assert not agent.sent


def test_cancelled_while_it_waits(agent, user, boss):
    row = paused(agent, user)
    assert cancel_execution(row.pk)
    request = row.approvals.get()
    assert (request.status, request.decided_by, request.reason) == ("DENIED", None, "The run was cancelled.")
    assert row.tools.get().status == "REFUSED"
    with pytest.raises(ApprovalError, match="cancelled"):
        decide(request.pk, approve=True, by=boss)
    assert not agent.sent


def test_workflow_is_paused_and_taken_up(agent, user, boss):
    orchestrator = SimpleOrchestrator()
    orchestrator.register_agent(make_agent("after", model=saying("then")))
    with pytest.raises(ApprovalNeededError):
        orchestrator.execute_sync("sequential", ["sender", "after"], prompt="x", deps=DjangoDeps(user_id=user.pk))
    row = WorkflowExecution.objects.get()
    assert row.status == Status.PENDING
    with pytest.raises(ApprovalNeededError):
        async_to_sync(orchestrator.resume)(row.pk)
    decision = decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    assert decision.continues
    assert f"not its workflow, call `await orchestrator.resume('{row.pk}')`" in decision.note
    assert "'after' is unknown" in decision.note
    work_off()
    row.refresh_from_db()
    assert (row.status, row.background, agent.sent) == (Status.PENDING, False, ["ann"])
    assert async_to_sync(orchestrator.resume)(row.pk).output == "then"
    assert agent.sent == ["ann"]
    assert ToolExecution.objects.count() == 1
    row.refresh_from_db()
    assert (row.status, row.completed_steps) == (Status.COMPLETED, 2)


@pytest.fixture
def others(monkeypatch):
    """Agents that a worker knows."""
    for name in ("before", "after"):
        monkeypatch.setitem(agents, name, make_agent(name, model=saying(f"{name} it")))


def waiting(user, *arguments, **options):
    with pytest.raises(ApprovalNeededError):
        SimpleOrchestrator().execute_sync(*arguments, prompt="x", deps=DjangoDeps(user_id=user.pk), **options)
    return WorkflowExecution.objects.get()


def test_workflow_of_the_foreground_goes_on_by_itself(agent, user, boss, others):
    row = waiting(user, "sequential", ["before", "sender", "after"])
    assert (row.status, row.background) == (Status.PENDING, False)
    assert decide(ApprovalRequest.objects.get().pk, approve=True, by=boss) == Decision(continues=True)
    work_off()
    row.refresh_from_db()
    assert (row.status, row.final_output, row.completed_steps) == (Status.COMPLETED, "after it", 3)
    assert (agent.sent, row.executions.count()) == (["ann"], 3)


def test_workflow_of_the_foreground_fails_with_its_run(agent, user, boss, others):
    row = waiting(user, "sequential", ["sender", "after"])
    agent.model = saying(ValueError("broken"))
    decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    work_off()
    row.refresh_from_db()
    assert (row.status, row.error) == (Status.FAILED, "0/sender: ValueError: broken")


def test_decision_before_the_other_steps_have_ended(agent, user, boss, others):
    """The workflow is at work when its run is done: it waits afterwards, and the sweep finds it."""
    row = waiting(user, "parallel", ["sender", "after"])
    WorkflowExecution.objects.update(status=Status.RUNNING)
    held = WorkflowExecution.objects.get()
    decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    work_off()
    store.finish(held, Status.PENDING, seconds=1)
    WorkflowExecution.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert sweep_runs().queued == 1
    work_off()
    row.refresh_from_db()
    assert (row.status, row.final_output) == (Status.COMPLETED, {"sender": "all done", "after": "after it"})


def test_workflow_of_unnamed_parts_is_left_to_its_own_code(agent, user, boss, others):
    parts = Sequential(["sender", Step("after", prompt=lambda prompt, former: "mine")])
    row = waiting(user, workflow=parts)
    decision = decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    assert (decision.continues, "pass resume() the same `workflow` again" in decision.note) == (True, True)
    work_off()
    row.refresh_from_db()
    assert row.status == Status.PENDING
    assert async_to_sync(SimpleOrchestrator().resume)(row.pk, workflow=parts).output == "after it"
    assert row.executions.get(agent_name="after").input_prompt == "mine"


def test_without_a_queue_the_decision_says_what_to_call(agent, user, boss, others, settings):
    module = type(queue_backend()).__mro__[1].__module__.partition(".backends")[0]
    settings.TASKS = {"default": {"BACKEND": f"{module}.backends.immediate.ImmediateBackend"}}
    row = waiting(user, "sequential", ["sender", "after"])
    decision = decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    assert not decision.continues
    assert f"No worker resumes the run, call `await orchestrator.resume('{row.pk}')`" in decision.note
    assert "set a backend with a queue" in decision.note
    assert not sweep_runs().queued
    assert async_to_sync(SimpleOrchestrator().resume)(row.pk).output == "after it"
    agent.model = saying(("send", {"to": "bob"}), "all done")
    single = paused(agent, user)
    assert f"agent.resume('{single.pk}')" in decide(single.approvals.get().pk, approve=True, by=boss).note


async def test_async_twins(agent, user, boss, others):
    deps = DjangoDeps(user_id=user.pk)
    with pytest.raises(ApprovalNeededError):
        await (await aget_agent("sender")).run("write", deps=deps)
    request = await ApprovalRequest.objects.aget()
    assert await adecide(request.pk, approve=True, by=boss) == Decision(continues=True)
    run = await arun_in_background("after", "x", deps=deps)
    flow = await arun_workflow_in_background("sequential", ["before", "after"], prompt="x", deps=deps)
    assert await acancel_execution((await arun_in_background("after", "y", deps=deps)).pk)
    await sync_to_async(work_off)()
    await run.arefresh_from_db()
    await flow.arefresh_from_db()
    assert (run.output_data, flow.final_output, agent.sent) == ("after it", "after it", ["ann"])
    assert await AgentExecution.objects.filter(status=Status.CANCELLED).acount() == 1


def test_resume_in_sync_code(agent, user, boss, others):
    orchestrator = SimpleOrchestrator()
    orchestrator.register_agent(make_agent("mine", model=saying("mine")))
    with pytest.raises(ApprovalNeededError):
        orchestrator.execute_sync("sequential", ["sender", "mine"], prompt="x", deps=DjangoDeps(user_id=user.pk))
    decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    work_off()
    assert orchestrator.resume_sync(WorkflowExecution.objects.get().pk).output == "mine"
