"""The admin of runs: lists, filters, exports, actions, pages."""

import csv
import io
import json
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import AsyncRequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pgknowbase.admin.display import SHORT, readable_json
from pgknowbase.agents import DjangoDeps, SimpleOrchestrator, TestModel
from pgknowbase.agents.admin import export
from pgknowbase.agents.models import (
    AgentBudget,
    AgentDefinition,
    AgentExecution,
    ApprovalRequest,
    Status,
    ToolExecution,
    WorkflowExecution,
)
from pgknowbase.agents.registry import agents
from pgknowbase.errors import ApprovalNeededError, WorkflowError
from tests.integration.agents.conftest import make_agent, saying, work_off
from tests.projects.assistants.agents import echo

pytestmark = pytest.mark.django_db
MODELS = [AgentExecution, WorkflowExecution, ToolExecution, ApprovalRequest, AgentDefinition, AgentBudget]
RUNS = MODELS[:4]


def url(model, page="changelist", **kwargs):
    return reverse(f"admin:pgknowbase_agents_{model._meta.model_name}_{page}", **kwargs)


def row_page(row):
    return url(type(row), "change", args=[row.pk])


@pytest.fixture
def root(client, db):
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def staff(client, db):
    """Sign in a member of staff with these permissions alone."""

    def sign_in(*codenames):
        user = User.objects.create_user("staff-" + "-".join(codenames), is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return sign_in


def fill(count, start=0):
    """``count`` runs, each of a user of its own, with a workflow, a call and a request."""
    for number in range(start, start + count):
        user = User.objects.create_user(f"user-{number}")
        workflow = WorkflowExecution.objects.create(
            workflow_name="flow", user=user, pattern="sequential", agents=["echo"], initial_prompt=f"plan {number}"
        )
        run = AgentExecution.objects.create(
            agent_name="echo" if number % 2 else "writer",
            user=user,
            workflow=workflow,
            order=1,
            status=[Status.COMPLETED, Status.FAILED, Status.CANCELLED][number % 3],
            input_prompt=f"<b>prompt</b> {number}",
            output_data={"text": "<script>alert(1)</script>" * 30},
            messages=[{"kind": "request", "parts": [{"content": "x" * 2000}]}],
            execution_time=number + 0.5,
            requests=1,
            tokens_used=100 * number,
            cost="0.00125",
        )
        ToolExecution.objects.create(
            execution=run, tool_name="send", tool_call_id="c", arguments={"to": "<i>"}, started_at=timezone.now()
        )
        ApprovalRequest.objects.create(
            execution=run, tool_name="send", tool_call_id="c", arguments={"to": "ann"}, decided_by=user
        )
        AgentDefinition.objects.create(name=f"kept {number}", instructions="x", owner=user)
        AgentBudget.objects.create(user=user, agent_name="echo", runs=number)


def statements(client, address):
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code == 200
    return len(captured)


@pytest.mark.parametrize("model", MODELS)
def test_lists_open_and_statements_do_not_grow_with_rows(root, model):
    fill(3)
    few = statements(root, url(model))
    fill(27, start=3)
    response = root.get(url(model))
    assert len(response.context["cl"].result_list) == 30
    assert statements(root, url(model)) == few
    assert few <= 12


def test_statements_of_pages_do_not_grow_with_steps_and_calls(root):
    fill(1)
    run, workflow = AgentExecution.objects.get(), WorkflowExecution.objects.get()
    few = statements(root, row_page(run)), statements(root, row_page(workflow))
    for number in range(30):
        ToolExecution.objects.create(
            execution=run, tool_name="send", tool_call_id=f"n{number}", started_at=timezone.now()
        )
        AgentExecution.objects.create(agent_name="echo", workflow=workflow, order=number, input_prompt="x")
    assert (statements(root, row_page(run)), statements(root, row_page(workflow))) == few


@pytest.mark.parametrize("model", MODELS)
def test_pages_open_and_everything_is_escaped(root, model):
    fill(1)
    for address in (row_page(model.objects.get()), url(model)):
        page = root.get(address).content.decode()
        assert "<script>alert" not in page
        assert "<b>prompt" not in page
        assert "<i>" not in page
    assert root.get(url(model), {"q": "100%_\\'"}).status_code == 200


@pytest.mark.parametrize("model", RUNS)
def test_runs_are_read_only(root, model):
    fill(1)
    row = model.objects.get()
    assert root.get(url(model, "add")).status_code == 403
    assert root.post(row_page(row), {"status": "COMPLETED"}).status_code == 403
    assert root.get(url(model, "delete", args=[row.pk])).status_code == 403


def shown(client, model=AgentExecution, **params):
    response = client.get(url(model), params)
    assert response.status_code == 200, response.headers
    return {str(getattr(row, "input_prompt", row)) for row in response.context["cl"].result_list}


def test_filters_and_search(root):
    fill(3)
    AgentExecution.objects.filter(input_prompt__endswith="2").update(created_at=timezone.now() - timedelta(days=40))
    prompts = [f"<b>prompt</b> {number}" for number in range(3)]
    assert shown(root) == set(prompts)
    assert shown(root, status__exact="FAILED") == {prompts[1]}
    assert shown(root, agent="writer") == {prompts[0], prompts[2]}
    assert shown(root, agent="nobody") == set()
    assert shown(root, q="prompt</b> 1") == {prompts[1]}
    assert shown(root, q="user-2") == {prompts[2]}
    since = (timezone.now() - timedelta(days=2)).isoformat(sep=" ")
    assert shown(root, created_at__gte=since) == set(prompts[:2])
    for model in (ToolExecution, ApprovalRequest):
        assert len(root.get(url(model), {"q": "user-1"}).context["cl"].result_list) == 1
        assert len(root.get(url(model), {"agent": "writer"}).context["cl"].result_list) == 2
        assert len(root.get(url(model), {"tool": "send"}).context["cl"].result_list) == 3
    assert len(root.get(url(WorkflowExecution), {"q": "plan 1"}).context["cl"].result_list) == 1
    assert len(root.get(url(WorkflowExecution), {"agent": "echo"}).context["cl"].result_list) == 3


# Export


def sent(response):
    assert response.streaming
    return b"".join(response).decode()


@pytest.mark.parametrize("model", RUNS)
def test_export_of_what_the_list_shows(root, model, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 2)
    fill(5)
    rows = list(csv.DictReader(io.StringIO(sent(root.get(url(model, "export", args=["csv"]))))))
    found = json.loads(sent(root.get(url(model, "export", args=["json"]))))
    assert len({row["id"] for row in rows}) == len(rows) == len(found) == 5
    assert [row["id"] for row in rows] == [str(row["id"]) for row in found]
    assert [row["user"] for row in found] == [f"user-{number}" for number in (4, 3, 2, 1, 0)]
    one = json.loads(sent(root.get(url(model, "export", args=["json"]), {"q": "user-3"})))
    assert [row["user"] for row in one] == ["user-3"]


def test_export_keeps_the_filters_of_the_list(root):
    fill(3)
    page = root.get(url(AgentExecution), {"status__exact": "FAILED"}).content.decode()
    link = url(AgentExecution, "export", args=["csv"]) + "?status__exact=FAILED"
    assert f'href="{link}"' in page
    assert len(list(csv.DictReader(io.StringIO(sent(root.get(link)))))) == 1
    assert json.loads(sent(root.get(url(AgentExecution, "export", args=["json"]), {"q": "nothing"}))) == []
    assert root.get(url(AgentExecution, "export", args=["xml"])).status_code == 404


def test_rows_of_the_same_moment_are_exported_once_each(root, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 3)
    AgentExecution.objects.bulk_create(
        [AgentExecution(agent_name="echo", input_prompt=str(n), created_at=timezone.now()) for n in range(3)]
        + [AgentExecution(agent_name="echo", input_prompt=str(n), created_at="2026-01-01T00:00Z") for n in range(3, 10)]
    )
    found = json.loads(sent(root.get(url(AgentExecution, "export", args=["json"]))))
    assert sorted(row["input_prompt"] for row in found) == [str(n) for n in range(10)]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\n=1"])  # noqa: RUF001
def test_formulas_are_neutralised(root, text):
    AgentExecution.objects.create(agent_name="echo", input_prompt=text, output_data=text, execution_time=-1)
    (row,) = csv.DictReader(io.StringIO(sent(root.get(url(AgentExecution, "export", args=["csv"]))), newline=""))
    assert row["input_prompt"] == row["output_data"] == f"'{text}"
    assert row["execution_time"] == "-1.0"
    (row,) = json.loads(sent(root.get(url(AgentExecution, "export", args=["json"]))))
    assert row["input_prompt"] == text


def test_export_under_asgi():
    fill(3)
    request = AsyncRequestFactory().get("/")

    async def read():
        response = export.export_response(
            request, AgentExecution.objects.all(), {"id": "id"}, kind="json", time_field="created_at", name="x"
        )
        assert response.is_async
        return json.loads(b"".join([part async for part in response]))

    assert len(async_to_sync(read)()) == 3


# Readable JSON


def test_json_is_indented_escaped_and_folded():
    assert readable_json({"a": "<b>"}) == (
        '<pre class="pgknowbase-text" dir="auto">{\n  &quot;a&quot;: &quot;&lt;b&gt;&quot;\n}</pre>'
    )
    long = readable_json({"short": 1, "long": "<x>" * SHORT})
    assert f"<summary>long: {3 * SHORT:,} characters</summary>" in long
    assert "<x>" not in long
    assert "<b>short</b>" in long
    deep = []
    for _ in range(50):
        deep = [deep, "x" * SHORT]
    assert "<details>" in readable_json(deep)
    assert "more characters are not shown" in readable_json({"a": "x" * 300_000})
    assert [readable_json(value) for value in (None, {}, [])] == ["-"] * 3
    assert "0" in readable_json(0)


# Actions


def act(client, name, *rows, follow=True, **extra):
    data = {"action": name, "_selected_action": [row.pk for row in rows], "index": 0, **extra}
    response = client.post(url(type(rows[0])), data, follow=follow)
    return "\n".join(str(message) for message in response.context["messages"])


def failed_run(**fields):
    return AgentExecution.objects.create(
        **{"agent_name": "echo", "status": Status.FAILED, "input_prompt": "hello", **fields}
    )


def test_retry(root, user, monkeypatch):
    monkeypatch.setattr(echo, "model", TestModel(custom_output_text="said"))
    run, done = failed_run(user=user, session_data={"a": 1}), failed_run(status=Status.COMPLETED)
    assert act(root, "retry", run, done) == "1 requeued. 1 left alone: their state does not allow it."
    again = AgentExecution.objects.exclude(pk__in=[run.pk, done.pk]).get()
    assert (again.status, again.user, again.session_data) == (Status.PENDING, user, {"a": 1})
    work_off()
    again.refresh_from_db()
    run.refresh_from_db()
    assert (again.status, again.output_data, run.status) == (Status.COMPLETED, "said", Status.FAILED)


def test_retry_gives_nobody_an_agent_that_is_not_for_them(root, user):
    AgentDefinition.objects.create(name="secret", instructions="x", model="test")
    assert "'secret' is unknown" in act(root, "retry", failed_run(agent_name="secret", user=user))
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert "gone or not active" in act(root, "retry", failed_run(user=user))
    assert not AgentExecution.objects.filter(status=Status.PENDING).exists()


def test_retry_leaves_steps_to_their_workflow(root):
    fill(3)
    step = AgentExecution.objects.get(status=Status.FAILED)
    assert act(root, "retry", step).startswith("0 requeued.")


def test_cancel(root):
    waits = failed_run(status=Status.PENDING)
    assert act(root, "cancel", waits, failed_run()).startswith("1 cancelled. 1 left alone")
    waits.refresh_from_db()
    assert (waits.status, waits.cancel_requested) == (Status.CANCELLED, True)


@pytest.fixture
def sender(monkeypatch):
    agent = make_agent("sender", permissions={"send": "ask"})
    agent.sent = []

    @agent.tool_plain
    def send(to: str) -> str:
        """Send a letter."""
        agent.sent.append(to)
        return "sent"

    agent.model = saying(("send", {"to": "ann"}), "all done")
    monkeypatch.setitem(agents, "sender", agent)
    return agent


def paused(agent, user):
    with pytest.raises(ApprovalNeededError):
        agent.run_sync("write", deps=DjangoDeps(user_id=user.pk))
    return ApprovalRequest.objects.get()


def test_approve(root, sender, user):
    asked = paused(sender, user)
    assert act(root, "approve", asked) == "1 approved."
    work_off()
    asked.refresh_from_db()
    assert (asked.status, str(asked.decided_by), sender.sent) == ("APPROVED", "root", ["ann"])
    assert asked.execution.status == Status.COMPLETED
    assert act(root, "approve", asked).startswith("0 approved. 1 left alone")


def test_approval_that_no_worker_goes_on_from(root, sender, user, monkeypatch):
    asked = paused(sender, user)
    monkeypatch.delitem(agents, "sender")
    said = act(root, "approve", asked)
    assert said.startswith("1 approved.")
    assert f"call `await agent.resume('{asked.execution_id}')`" in said


def test_reject_with_a_reason(root, sender, user):
    asked = paused(sender, user)
    assert act(root, "reject", asked, reason="not on Sundays", detail="1") == "1 rejected."
    work_off()
    asked.refresh_from_db()
    assert (asked.status, asked.reason, sender.sent) == ("DENIED", "not on Sundays", [])
    assert "not on Sundays" in str(AgentExecution.objects.get().messages)


def test_buttons_are_those_that_make_sense(root, sender, user):
    asked = paused(sender, user)
    page = root.get(row_page(asked)).content.decode()
    assert 'value="approve"' in page
    assert 'name="reason"' in page
    assert 'value="cancel"' in root.get(row_page(asked.execution)).content.decode()
    act(root, "reject", asked)
    assert 'value="approve"' not in root.get(row_page(asked)).content.decode()


def test_permissions(staff, sender, user):
    asked = paused(sender, user)
    run = AgentExecution.objects.get()
    client = staff("view_agentexecution", "view_approvalrequest")
    for row, name in ((run, "cancel"), (run, "retry"), (asked, "approve"), (asked, "reject")):
        page = client.get(row_page(row)).content.decode()
        assert f'value="{name}"' not in page
        client.post(url(type(row)), {"action": name, "_selected_action": [row.pk], "index": 0})
    asked.refresh_from_db()
    run.refresh_from_db()
    assert (asked.status, run.status) == ("PENDING", Status.PENDING)
    client = staff()
    for address in (url(AgentExecution), url(AgentExecution, "export", args=["csv"]), reverse(METRICS)):
        assert client.get(address).status_code == 403
    client = staff("change_approvalrequest")
    assert act(client, "approve", asked) == "1 approved."
    assert client.get(url(ApprovalRequest, "export", args=["csv"])).status_code == 200
    assert client.get(url(AgentExecution, "export", args=["csv"])).status_code == 403


def flow(*answers):
    orchestrator = SimpleOrchestrator()
    with pytest.raises((WorkflowError, ApprovalNeededError)):
        orchestrator.execute_sync("sequential", list(answers), prompt="x")
    return WorkflowExecution.objects.get()


def test_workflow_is_retried_without_its_finished_steps(root, monkeypatch):
    first, second = make_agent("first", model=saying("one")), make_agent("second", model=saying(ValueError("broken")))
    monkeypatch.setitem(agents, "first", first)
    monkeypatch.setitem(agents, "second", second)
    row = flow("first", "second")
    assert row.status == Status.FAILED
    second.model = saying("two")
    assert act(root, "retry", row) == "1 requeued."
    work_off()
    row.refresh_from_db()
    assert (row.status, row.final_output) == (Status.COMPLETED, "two")
    assert AgentExecution.objects.filter(agent_name="first").count() == 1
    assert act(root, "retry", row).startswith("0 requeued.")


def test_workflow_is_cancelled_with_its_runs(root, sender):
    row = flow("sender")
    assert row.status == Status.PENDING
    assert act(root, "cancel", row) == "1 cancelled."
    row.refresh_from_db()
    assert (row.status, AgentExecution.objects.get().status) == (Status.CANCELLED, Status.CANCELLED)


def test_no_step_begins_after_a_workflow_was_cancelled(monkeypatch):
    from pgknowbase.agents.runs.cancelling import cancel_workflow

    first, second = make_agent("first", model=saying("one")), make_agent("second", model=saying("two"))

    @first.tool_plain
    def cancel() -> str:
        """Somebody cancels it meanwhile."""
        WorkflowExecution.objects.update(status=Status.CANCELLED)
        return "x"

    assert cancel_workflow
    first.model = saying(("cancel", {}), "one")
    monkeypatch.setitem(agents, "first", first)
    monkeypatch.setitem(agents, "second", second)
    row = flow("first", "second")
    assert (row.status, row.error) == (Status.CANCELLED, "The workflow was cancelled.")
    assert not AgentExecution.objects.filter(agent_name="second").exists()


# Definitions


def test_definition_is_edited_and_nonsense_refused(root):
    fields = {"name": "helper", "kind": "custom", "instructions": "Help.", "toolsets": '["knowledge"]'}
    fields |= {"permissions": '{"search": "ask"}', "is_active": "on", "created_at_0": "2026-01-01"}
    bad = {**fields, "toolsets": '["nuclear"]', "permissions": '{"search": "maybe"}'}
    page = root.post(url(AgentDefinition, "add"), bad).content.decode()
    assert "Give a list of these names" in page
    assert "Give an object such as" in page
    response = root.post(url(AgentDefinition, "add"), fields, follow=True)
    assert response.redirect_chain, response.context["errors"]
    kept = AgentDefinition.objects.get()
    assert (kept.toolsets, kept.permissions) == (["knowledge"], {"search": "ask"})


# Metrics

METRICS = "admin:pgknowbase_agents_metrics"


def test_metrics(root):
    fill(9)
    AgentExecution.objects.filter(input_prompt__endswith="1").update(created_at=timezone.now() - timedelta(days=3))
    response = root.get(reverse(METRICS))
    page = response.content.decode()
    assert page.count('role="img"') == 5
    assert "<script" not in page.partition("pgknowbase-figures")[2]
    assert " style=" not in page
    completed, failed = (each.values for each in response.context["charts"][0].series[:2])
    assert ([value for value in completed if value], completed[-1], len(completed)) == ([3], 3, 30)
    assert [value for value in failed if value] == [1, 2]
    assert response.context["totals"]["runs"] == 9
    one = root.get(reverse(METRICS), {"agent": "echo", "days": "7"})
    assert one.context["totals"]["runs"] == 4
    assert [row["agent"] for row in one.context["by_agent"]] == ["echo"]
    assert root.get(reverse(METRICS), {"agent": "\x00", "days": "x"}).status_code == 200


def test_metrics_of_nothing_and_statements(root):
    page = root.get(reverse(METRICS)).content.decode()
    assert page.count("Nothing in this time.") == 5
    fill(3)
    few = statements(root, reverse(METRICS))
    fill(27, start=3)
    assert statements(root, reverse(METRICS)) == few


def test_coordinates_are_numbers_in_every_locale(root, settings):
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    fill(9)
    page = root.get(reverse(METRICS)).content.decode()
    numbers = [part.split('"')[0] for part in page.replace(' y="', ' x="').split(' x="')[1:]]
    assert len(numbers) > 30
    assert all(float(number) >= 0 for number in numbers)
    assert 'viewBox="0 0 640 200"' in page


def test_every_model_has_an_admin():
    assert {model for model in admin.site._registry if model._meta.app_label == "pgknowbase_agents"} == set(MODELS)
