"""A tool call that a person has to allow pauses the run, and a decision lets it go on."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User

from pgknowbase.agents import DjangoDeps, RunContext, SimpleOrchestrator
from pgknowbase.agents.approvals import decide
from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, ToolExecution, WorkflowExecution
from pgknowbase.agents.recording.cancel import cancel_execution
from pgknowbase.agents.registry import _agents
from pgknowbase.errors import ApprovalError, ApprovalNeededError
from tests.agents.conftest import make_agent, saying, work_off

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
    monkeypatch.setitem(_agents, "sender", agent)
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
    assert decide(row.approvals.get().pk, approve=True, by=boss)
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
    assert async_to_sync(agent.go_on)(row.pk) is None
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
    decide(ApprovalRequest.objects.get().pk, approve=True, by=boss)
    work_off()
    assert async_to_sync(orchestrator.resume)(row.pk).output == "then"
    assert agent.sent == ["ann"]
    assert ToolExecution.objects.count() == 1
    row.refresh_from_db()
    assert (row.status, row.completed_steps) == (Status.COMPLETED, 2)
