"""Workflows defined in code and run over HTTP: at once and by a worker, taken up again, cancelled."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from pgknowbase.agents import define_workflow
from pgknowbase.agents.background import run_workflow_in_background, sweep_runs
from pgknowbase.agents.models import AgentDefinition, AgentExecution, ApprovalRequest, Status, WorkflowExecution
from pgknowbase.agents.workflows import Conditional, Parallel, Sequential, registry
from pgknowbase.api.parameters import REPLAYED
from pgknowbase.core.discovery import importing
from pgknowbase.errors import AgentError, ConfigurationError, WorkflowError
from tests.integration.agents.conftest import set_agents, work_off  # noqa: F401
from tests.integration.api.conftest import problem
from tests.integration.api.test_orchestrator import ROOT, WORKFLOWS, agents, people  # noqa: F401

pytestmark = pytest.mark.django_db
LONG_AGO = timezone.now() - timedelta(days=1)


@pytest.fixture(autouse=True)
def workflows(monkeypatch):
    """The workflows of these tests alone."""
    monkeypatch.setattr(registry, "workflows", registry.Registry("Workflow"))
    define_workflow("twice", Sequential(["parrot", Parallel(["parrot", "chooser"])]), description="Talks twice")
    define_workflow("choice", Conditional("chooser", {"parrot": "parrot", "other": "broken"}))
    define_workflow("breaks", Sequential(["parrot", "broken"]))
    define_workflow("asks", Sequential(["parrot", "careful", "parrot"]))


def execute(asker, workflow="twice", *, status=202, background=True, headers=None, **body):
    asked = {"workflow": workflow, "prompt": "go", "background": background, **body}
    response = asker.post(f"{WORKFLOWS}execute/", asked, **(headers or {}))
    assert response.status_code == status, response.content
    return response.json()


def listed(asker):
    return [one["name"] for one in asker.get(f"{ROOT}ai-workflows/").json()["results"]]


def test_they_are_listed_for_those_who_may_run_their_agents(people, users):  # noqa: F811
    AgentDefinition.objects.create(name="ann's own", instructions="x", owner=users["ann"], model="openai:gpt-4o-mini")
    define_workflow("private", Sequential(["parrot", "ann's own"]))
    define_workflow("mute", "mute")
    shown = {one["name"]: one for one in people["ann"].get(f"{ROOT}ai-workflows/").json()["results"]}
    assert sorted(shown) == ["asks", "breaks", "choice", "private", "twice"]
    agents_of = ["parrot", "parrot", "chooser"]
    assert shown["twice"] == {
        "name": "twice", "description": "Talks twice", "pattern": "sequential", "agents": agents_of,
    }  # fmt: skip
    assert "private" not in listed(people["bob"])
    for background in (True, False):
        refused = execute(people["bob"], "private", status=404, background=background)
        assert "'ann's own'" in refused["detail"].replace('"', "'")
        assert execute(people["ann"], "mute", status=503, background=background)["type"].endswith("no-model")
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("background", [False, True])
def test_config_is_kept_and_agents_need_no_pattern(people, background):  # noqa: F811
    asked = {
        "workflow_name": "review of 7", "agents": ["parrot", "parrot"], "prompt": "go", "background": background,
        "config": {"content_id": 7},
    }  # fmt: skip
    headers = {"Idempotency-Key": "one"}
    done = people["ann"].post(f"{WORKFLOWS}execute/", asked, **headers)
    assert done.status_code == (202 if background else 200), done.content
    row = WorkflowExecution.objects.get()
    assert (row.workflow_name, row.pattern, row.config["content_id"]) == ("review of 7", "sequential", 7)
    again = people["ann"].post(f"{WORKFLOWS}execute/", asked, **headers)
    assert again.headers[REPLAYED] == "true"
    problem(people["ann"].post(f"{WORKFLOWS}execute/", {**asked, "config": {"content_id": 8}}, **headers), 422)
    by_name = {"workflow_name": "twice", "prompt": "go"}
    assert people["ann"].post(f"{WORKFLOWS}execute/", by_name).json()["output"] == {
        "parrot": "polly",
        "chooser": "parrot",
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"workflow": "twice", "promt": "go", "prompt": "x"},
            "/promt: 'promt' is unknown: use some of workflow, pattern",
        ),
        ({"workflow": "twice", "workflow_name": "twice", "prompt": "x"}, "workflow_name and workflow name the same"),
        (
            {"agents": ["parrot"], "name": "a", "workflow_name": "b", "prompt": "x"},
            "workflow_name and name name the same",
        ),
        ({"prompt": "x"}, "name a workflow, or the agents of a pattern"),
        (
            {"workflow": "twice", "prompt": "x", "config": {"timeout": 5}},
            "the key 'timeout', which the workflow itself uses",
        ),
    ],
)
def test_what_is_wrong_with_a_body_is_said(people, body, said):  # noqa: F811
    assert said in problem(people["ann"].post(f"{WORKFLOWS}execute/", body), 422)["detail"]


def test_at_once(people):  # noqa: F811
    done = execute(people["ann"], status=200, background=False, name="mine")
    assert done["output"] == {"parrot": "polly", "chooser": "parrot"}
    detail = people["ann"].get(done["url"]).json()
    assert (detail["status"], detail["workflow_name"], detail["background"]) == ("COMPLETED", "mine", False)
    assert execute(people["ann"], "choice", status=200, background=False)["output"] == "polly"


def test_what_is_refused(people, set_agents):  # noqa: F811
    ann = people["ann"]
    told = execute(ann, "nothing", status=404)
    assert "'nothing' is not defined" in told["detail"]
    for body in ({"agents": ["parrot"]}, {"pattern": "sequential"}, {"workflow": None}, {"workflow": ""}):
        execute(ann, status=422, **body)
    assert execute(ann, None, status=422, pattern="conditional", agents=["parrot"])["type"].endswith("workflow")
    set_agents(BUDGET_PER_USER={"RUNS": 0})
    assert execute(ann, status=429)["type"].endswith("budget")
    assert not WorkflowExecution.objects.exists()


def test_in_the_background(people, users):  # noqa: F811
    ann = people["ann"]
    queued = [execute(ann, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert queued[0] == queued[1]
    assert (queued[0]["status"], queued[0]["background"], queued[0]["progress"]) == ("PENDING", True, 0)
    pattern = execute(ann, None, pattern="parallel", agents=["parrot", "chooser"], concurrency=1, name="both")
    assert not AgentExecution.objects.exists()
    work_off()
    expected = {"parrot": "polly", "chooser": "parrot"}
    for one, count in ((queued[0], 3), (pattern, 2)):
        done = ann.get(one["url"]).json()
        assert (done["status"], done["progress"], done["final_output"]) == ("COMPLETED", 100, expected)
        assert len(done["executions"]) == count
    assert {row.user_id for row in AgentExecution.objects.all()} == {users["ann"].pk}
    assert WorkflowExecution.objects.count() == 2


def test_resume_repeats_no_finished_step(people, agents, users):  # noqa: F811
    ann = people["ann"]
    queued = execute(ann, "breaks")
    resume = f"{queued['url']}resume/"
    work_off()
    assert ann.get(queued["url"]).json()["status"] == "FAILED"
    agents["broken"].model = agents["parrot"].model
    assert ann.post(resume, {}).json()["status"] == "PENDING"
    problem(ann.post(resume, {}), 409, "at-work")
    work_off()
    done = ann.get(queued["url"]).json()
    assert (done["status"], done["final_output"], done["error"]) == ("COMPLETED", "polly", "")
    assert [run["agent_name"] for run in done["executions"]].count("parrot") == 1
    problem(ann.post(resume, {}), 409, "ended")


def test_one_key_is_one_workflow(people):  # noqa: F811
    ann, key = people["ann"], {"Idempotency-Key": "one"}
    first, again = (execute(ann, "choice", status=200, background=False, headers=key) for _ in range(2))
    ordered = {each["path"]: each for each in first.pop("steps")}
    assert ordered == {each["path"]: each for each in again.pop("steps")}
    assert first == again
    for body in (
        {"prompt": "else"},
        {"name": "other"},
        {"workflow": None, "pattern": "parallel", "agents": ["parrot"]},
    ):
        told = execute(ann, status=422, background=False, headers=key, **{"workflow": "choice", **body})
        assert told["type"].endswith("idempotency-key")
    others = execute(people["bob"], "choice", status=200, background=False, headers=key)
    assert others["workflow_id"] != first["workflow_id"]
    assert WorkflowExecution.objects.count() == 2


def test_workflow_that_a_faster_request_began(people, monkeypatch):  # noqa: F811
    """Of two requests at once, both of which find no workflow, the database refuses the slower one."""
    from pgknowbase.api.orchestrator import workflows as routes

    ann, key = people["ann"], {"Idempotency-Key": "one"}
    queued = execute(ann, headers=key)
    looked, found = [], routes._earlier

    def blind_at_first(*args):
        looked.append(args)
        return found(*args) if len(looked) > 1 else None

    monkeypatch.setattr(routes, "_earlier", blind_at_first)
    assert execute(ann, headers=key)["id"] == queued["id"]
    assert WorkflowExecution.objects.count() == 1


def test_key_of_a_failed_workflow_leads_to_its_resumption(people, agents):  # noqa: F811
    ann, key = people["ann"], {"Idempotency-Key": "one"}
    queued = execute(ann, "breaks", headers=key)
    work_off()
    told = execute(ann, "breaks", status=502, headers=key)
    assert told["instance"] == queued["url"]
    agents["broken"].model = agents["parrot"].model
    assert ann.post(f"{queued['url']}resume/", {}).status_code == 202
    work_off()
    assert execute(ann, "breaks", headers=key)["status"] == "COMPLETED"
    ann.post(f"{queued['url']}cancel/", {})
    WorkflowExecution.objects.update(status=Status.CANCELLED)
    execute(ann, "breaks", status=409, headers=key)
    assert WorkflowExecution.objects.count() == 1


def test_resume_is_for_those_who_may_still_use_the_agents(people, users):  # noqa: F811
    kept = AgentDefinition.objects.create(name="kept", instructions="x", owner=users["ann"], model="openai:gpt-4o-mini")
    row = run_workflow_in_background("sequential", ["kept"], prompt="x")
    WorkflowExecution.objects.update(status=Status.FAILED, user=users["ann"])
    resume = f"{WORKFLOWS}{row.pk}/resume/"
    kept.owner = users["bob"]
    kept.save()
    problem(people["ann"].post(resume, {}), 404, "not-found")
    users["ann"].is_active = False
    users["ann"].save()
    problem(people["root"].post(resume, {}), 409, "agent")
    row.refresh_from_db()
    assert row.status == Status.FAILED


def test_one_at_work_is_left_alone_until_its_process_is_silent(people):  # noqa: F811
    queued = execute(people["ann"])
    rows = WorkflowExecution.objects.filter(pk=queued["id"])
    rows.update(status=Status.RUNNING, heartbeat_at=timezone.now())
    problem(people["ann"].post(f"{queued['url']}resume/", {}), 409, "at-work")
    rows.update(heartbeat_at=LONG_AGO)
    assert people["ann"].post(f"{queued['url']}resume/", {}).json()["status"] == "PENDING"


def test_cancel(people):  # noqa: F811
    queued = execute(people["ann"])
    cancelled = people["ann"].post(f"{queued['url']}cancel/", {})
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "CANCELLED")
    problem(people["ann"].post(f"{queued['url']}cancel/", {}), 409, "ended")
    problem(people["ann"].post(f"{queued['url']}resume/", {}), 409, "ended")
    work_off()
    assert not AgentExecution.objects.exists()


def test_it_goes_on_after_an_approval(people):  # noqa: F811
    queued = execute(people["ann"], "asks")
    work_off()
    waits = people["ann"].get(queued["url"]).json()
    assert (waits["status"], waits["completed_steps"]) == ("PENDING", 1)
    sweep_runs()
    assert not DBTaskResult.objects.ready().exists()
    path = f"{ROOT}approvals/{ApprovalRequest.objects.get().pk}/decide/"
    assert people["keeper"].post(path, {"approve": True}).status_code == 200
    work_off()
    done = people["ann"].get(queued["url"]).json()
    assert (done["status"], [run["status"] for run in done["executions"]]) == ("COMPLETED", ["COMPLETED"] * 3)


def test_it_fails_with_the_run_that_it_waited_for(people, agents):  # noqa: F811
    queued = execute(people["ann"], "asks")
    work_off()
    agents["careful"].model = agents["broken"].model
    path = f"{ROOT}approvals/{ApprovalRequest.objects.get().pk}/decide/"
    assert people["keeper"].post(path, {"approve": True}).status_code == 200
    work_off()
    failed = people["ann"].get(queued["url"]).json()
    assert (failed["status"], failed["error"]) == ("FAILED", "1/careful: ValueError: the wing is broken")


def test_one_whose_worker_died_is_queued_again(people, set_agents):  # noqa: F811
    set_agents(MAX_BACKGROUND_ATTEMPTS=2)
    queued = execute(people["ann"])
    rows = WorkflowExecution.objects.filter(pk=queued["id"])
    DBTaskResult.objects.all().delete()
    rows.update(status=Status.RUNNING, heartbeat_at=LONG_AGO, attempts=1)
    assert sweep_runs().queued == 1
    assert rows.get().status == Status.PENDING
    assert sweep_runs().queued == 0
    # The task is lost with its worker, before the workflow was taken.
    DBTaskResult.objects.all().delete()
    rows.update(heartbeat_at=LONG_AGO)
    assert sweep_runs().queued == 1
    rows.update(status=Status.RUNNING, heartbeat_at=LONG_AGO, attempts=2)
    swept = sweep_runs()
    assert (swept.queued, swept.workflows, rows.get().status) == (0, 1, Status.FAILED)
    assert people["ann"].post(f"{queued['url']}resume/", {}).status_code == 202
    work_off()
    assert (rows.get().status, rows.get().attempts) == (Status.COMPLETED, 1)


def test_names():
    with pytest.raises(WorkflowError, match="1 to 200 characters"):
        define_workflow("", "parrot")
    with pytest.raises(WorkflowError, match="is not a part of a workflow"):
        define_workflow("odd", Sequential(["parrot", 5]))
    with importing("one.agents"):
        define_workflow("mine", "parrot")
        define_workflow("mine", "chooser")
    assert registry.get_workflow("mine").agents == ["chooser"]
    with importing("two.agents"), pytest.raises(ConfigurationError, match=r"'one\.agents' and in 'two\.agents'"):
        define_workflow("mine", "parrot")
    with pytest.raises(AgentError, match="Known: 'asks', 'breaks'"):
        registry.get_workflow(str(uuid4()))
