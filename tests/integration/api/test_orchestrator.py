"""The routes of agents, runs, workflows and approvals: what they do, for whom, and what they refuse."""

from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.apps import apps

from pgknowbase.agents import DjangoAgent, DjangoDeps, RunContext, TestModel, registry
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status, WorkflowExecution
from pgknowbase.api.application import routers
from pgknowbase.api.authentication import Caller
from pgknowbase.api.parameters import bound_key
from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError
from tests.integration.agents.conftest import saying, set_agents, work_off  # noqa: F401
from tests.integration.api.conftest import Asker, grant, problem, token_of

pytestmark = pytest.mark.django_db
ROOT = "/api/orchestrator/"
AGENTS = f"{ROOT}ai-agents/"
EXECUTIONS = f"{ROOT}executions/"
WORKFLOWS = f"{ROOT}workflows/"
APPROVALS = f"{ROOT}approvals/"


@pytest.fixture(autouse=True)
def agents(monkeypatch):
    """The agents of these tests alone."""
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))
    made = {
        "parrot": DjangoAgent(name="parrot", description="Talks", model=TestModel(custom_output_text="polly")),
        "chooser": DjangoAgent(name="chooser", model=TestModel(custom_output_text="parrot")),
        "broken": DjangoAgent(name="broken", model=saying(ValueError("the wing is broken"))),
        "mute": DjangoAgent(name="mute"),
        "careful": DjangoAgent(name="careful", model=saying(("delete", {}), "done"), permissions={"delete": "ask"}),
    }

    @made["parrot"].tool
    async def who(ctx: RunContext[DjangoDeps]) -> str:
        return str(await ctx.deps.get_user())

    @made["careful"].tool_plain
    def delete() -> str:
        return "gone"

    return made


@pytest.fixture
def people(users):
    """Askers by token; viewer may see all rows, keeper change runs, decider decide."""
    app = "pgknowbase_agents."
    grant(users["staff"], f"{app}view_agentexecution", f"{app}view_workflowexecution", f"{app}view_approvalrequest")
    grant(users["keeper"], f"{app}view_agentexecution", f"{app}change_agentexecution", f"{app}change_approvalrequest")
    askers = {name: Asker.token(token_of(user)) for name, user in users.items()}
    return {**askers, "nobody": Asker.nobody(), "narrow": Asker.token(token_of(users["root"], "search"))}


def run(asker, agent="parrot", *, status=200, prompt="speak", headers=None, **body):
    response = asker.post(f"{AGENTS}{agent}/run/", {"prompt": prompt, **body}, **(headers or {}))
    assert response.status_code == status, response.content
    return response.json()


def test_agents_of_a_user(people, users):
    AgentDefinition.objects.create(name="ann's own", instructions="x", owner=users["ann"], model="openai:gpt-4o-mini")
    shown = {one["name"]: one for one in people["ann"].get(AGENTS).json()["results"]}
    assert sorted(shown) == ["ann's own", "broken", "careful", "chooser", "mute", "parrot"]
    assert shown["parrot"] == {"name": "parrot", "description": "Talks", "kept_in": "code", "model": "test:test"}
    assert (shown["mute"]["model"], shown["ann's own"]["kept_in"]) == (None, "database")
    assert "ann's own" not in {one["name"] for one in people["bob"].get(AGENTS).json()["results"]}
    assert "ann's own" in {one["name"] for one in people["root"].get(AGENTS).json()["results"]}
    problem(people["bob"].post(f"{AGENTS}ann's own/run/", {"prompt": "x"}), 404, "not-found")


@pytest.fixture
def read(agents):
    """What the tool of the agent "reader" found in the session data of its run."""
    found = []
    agents["reader"] = DjangoAgent(name="reader", model=TestModel())

    @agents["reader"].tool
    def look(ctx: RunContext[DjangoDeps]) -> str:
        found.append(ctx.deps.session_data)
        return "seen"

    return found


CONTEXT = {"page": {"id": 7, "tags": ["a", None, 1.5]}, "name": "Zoë"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("background", [False, True])
def test_tools_read_the_context_of_the_request(people, users, read, background):
    run(people["ann"], "reader", status=202 if background else 200, context=CONTEXT, background=background)
    if background:
        assert read == []
        work_off()
    assert read == [{"context": CONTEXT}]
    run(people["ann"], "reader")
    assert read[1] == {}, "a run without one has none, and not that of another run"


def test_context_stands_beside_the_session(users, read):
    asker = Asker.session(users["ann"])
    session = asker.client.session
    session["cart"] = [1]
    session.save()
    run(asker, "reader", context={"cart": "mine"})
    (data,) = read
    assert (data["cart"], data["context"]) == ([1], {"cart": "mine"})
    assert "context" not in asker.client.session


def test_context_is_an_object(people):
    for wrong in ([1], "text", 1):
        problem(people["ann"].post(f"{AGENTS}parrot/run/", {"prompt": "x", "context": wrong}), 422)


def test_a_run_is_answered_and_seen(people, users):
    answer = run(people["ann"])
    assert (answer["output"], answer["status"], answer["agent_name"]) == ("polly", "COMPLETED", "parrot")
    row = AgentExecution.objects.get()
    assert (row.pk, row.user_id, answer["tokens_used"]) == (
        UUID(answer["execution_id"]),
        users["ann"].pk,
        row.tokens_used,
    )
    detail = people["ann"].get(answer["url"]).json()
    assert (detail["input_prompt"], detail["output_data"], detail["status"]) == ("speak", "polly", "COMPLETED")
    (call,) = detail["tools"]
    assert (call["tool_name"], call["result"], call["status"]) == ("who", "ann", "COMPLETED")


def test_session_runs_as_its_user(people, users):
    assert run(Asker.session(users["bob"]))["output"] == "polly"
    assert AgentExecution.objects.get().user_id == users["bob"].pk


def test_refusals(people, set_agents):  # noqa: F811
    ann = people["ann"]
    for name in ("nothing", "a\x00b"):
        problem(ann.post(f"{AGENTS}{name}/run/", {"prompt": "x"}), 404)
    for body in ({}, {"prompt": ""}, {"prompt": "x", "model": "y"}, {"prompt": "a\x00"}, {"prompt": "x", "timeout": 0}):
        problem(ann.post(f"{AGENTS}parrot/run/", body), 422, "validation")
    problem(ann.post(f"{AGENTS}parrot/run/", {"prompt": "x", "stream": True, "background": True}), 422)
    problem(ann.post(f"{AGENTS}parrot/run/", {"prompt": "x", "timeout": 5, "background": True}), 422)
    told = problem(ann.post(f"{AGENTS}mute/run/", {"prompt": "x"}), 503, "no-model")
    assert "'mute' has no model" in told["detail"]
    assert not AgentExecution.objects.exists()
    told = problem(ann.post(f"{AGENTS}broken/run/", {"prompt": "x"}), 502, "run-failed")
    assert people["ann"].get(told["instance"]).json()["error"] == "ValueError: the wing is broken"
    set_agents(BUDGET_PER_USER={"RUNS": 1})
    for body in ({"prompt": "x"}, {"prompt": "x", "background": True}):
        response = ann.post(f"{AGENTS}parrot/run/", body)
        assert "Wait until tomorrow" in problem(response, 429, "budget")["detail"]
        assert 0 < int(response.headers["Retry-After"]) <= 90_000
    assert AgentExecution.objects.count() == 1


def test_only_who_may_acts_for_others(people, users):
    for_ann = {"deps": {"user_id": users["ann"].pk}}
    problem(people["bob"].post(f"{AGENTS}parrot/run/", {"prompt": "x", **for_ann}), 403, "permission")
    workflow = {"pattern": "sequential", "agents": ["parrot"], "prompt": "x"}
    problem(people["bob"].post(f"{WORKFLOWS}execute/", {**workflow, **for_ann}), 403, "permission")
    for_root = {"deps": {"user_id": users["root"].pk}}
    problem(people["agent"].post(f"{AGENTS}parrot/run/", {"prompt": "x", **for_root}), 403, "permission")
    without = Asker.token(token_of(users["agent"], "agents"))
    problem(without.post(f"{AGENTS}parrot/run/", {"prompt": "x", **for_ann}), 403, "scope")
    problem(people["agent"].post(f"{AGENTS}parrot/run/", {"prompt": "x", "deps": {"user_id": 0}}), 422, "no-user")
    problem(people["ann"].post(f"{AGENTS}parrot/run/", {"prompt": "x", "deps": {"session_data": {}}}), 422)
    assert not AgentExecution.objects.exists()
    run(people["agent"], **for_ann)
    row = AgentExecution.objects.get()
    assert (row.user_id, row.tools.get().result) == (users["ann"].pk, "ann")
    run(people["ann"], **for_ann)


def bound_key_of(user, path, key="one"):
    """The key as the row of a run keeps it."""
    request = SimpleNamespace(auth=Caller(user), path=path)
    return bound_key(request, key)


def keyed(asker, key="one", agent="parrot", **body):
    return asker.post(f"{AGENTS}{agent}/run/", {"prompt": "x", **body}, **{"Idempotency-Key": key})


def test_one_key_is_one_run(people):
    ann = people["ann"]
    first, again = keyed(ann), keyed(ann)
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(keyed(ann, prompt="y"), 422, "idempotency-key")
    queued = [keyed(ann, "two", background=True) for _ in range(2)]
    assert [one.status_code for one in queued] == [202, 202]
    assert queued[0].json() == queued[1].json()
    assert "A stream has no key" in problem(keyed(ann, "s", stream=True), 400, "idempotency-key")["detail"]
    assert AgentExecution.objects.count() == 2


def test_key_belongs_to_its_caller_and_path(people, users):
    first = keyed(people["ann"])
    for other in (keyed(people["bob"]), keyed(people["ann"], agent="chooser")):
        assert other.status_code == 200
        assert other.json()["execution_id"] != first.json()["execution_id"]
    assert keyed(people["agent"], deps={"user_id": users["ann"].pk}).status_code == 200
    problem(keyed(people["agent"], deps={"user_id": users["bob"].pk}), 422, "idempotency-key")
    assert AgentExecution.objects.count() == 4


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_bad_keys(people, key):
    told = problem(keyed(people["ann"], key), 422, "validation")
    assert told["errors"][0]["where"] == "header"
    assert not AgentExecution.objects.exists()


def test_old_key_opens_nothing_that_was_withdrawn(people, users):
    for_ann = {"deps": {"user_id": users["ann"].pk}}
    workflow = {"pattern": "sequential", "agents": ["parrot"], "prompt": "x", **for_ann}
    execute = f"{WORKFLOWS}execute/", workflow
    key = {"Idempotency-Key": "one"}
    assert keyed(people["agent"], **for_ann).status_code == 200
    assert people["agent"].post(*execute, **key).status_code == 200
    users["agent"].user_permissions.clear()
    problem(keyed(people["agent"], **for_ann), 403, "permission")
    problem(people["agent"].post(*execute, **key), 403, "permission")


def test_old_key_asks_for_scope_and_agent_anew(people, users):
    kept = AgentDefinition.objects.create(name="kept", instructions="x", owner=users["ann"], model="openai:gpt-4o-mini")
    ann, key = users["ann"], bound_key_of(users["ann"], f"{AGENTS}kept/run/")
    AgentExecution.objects.create(
        agent_name="kept", user=ann, input_prompt="x", status="COMPLETED", output_data="secret", idempotency_key=key
    )
    assert keyed(people["ann"], agent="kept").json()["output"] == "secret"
    problem(keyed(Asker.token(token_of(ann, "search")), agent="kept"), 403, "scope")
    kept.owner = users["bob"]
    kept.save()
    problem(keyed(people["ann"], agent="kept"), 404, "not-found")


def test_failed_run_frees_its_key(people, agents):
    problem(keyed(people["ann"], agent="broken"), 502, "run-failed")
    agents["broken"].model = agents["parrot"].model
    assert keyed(people["ann"], agent="broken").json()["output"] == "polly"
    assert AgentExecution.objects.count() == 2


def test_cancelled_run_keeps_its_key(people):
    queued = keyed(people["ann"], background=True).json()
    assert people["ann"].post(f"{queued['url']}cancel/", {}).status_code == 202
    told = problem(keyed(people["ann"], background=True), 409, "run-cancelled")
    assert told["instance"] == queued["url"]


def test_run_that_a_faster_request_began(people, monkeypatch):
    """Of two requests at once, both of which find no run, the database refuses the slower one."""
    from pgknowbase.api.orchestrator import agents as routes

    queued = keyed(people["ann"], background=True).json()
    looked, found = [], routes.earlier_run

    def blind_at_first(*args, **kwargs):
        looked.append(args)
        return found(*args, **kwargs) if len(looked) > 1 else None

    monkeypatch.setattr(routes, "earlier_run", blind_at_first)
    again = keyed(people["ann"], background=True)
    assert (again.status_code, again.json()["id"]) == (202, queued["id"])
    assert AgentExecution.objects.count() == 1


def test_background(people):
    queued = run(people["ann"], status=202, background=True)
    assert (queued["status"], queued["background"]) == ("PENDING", True)
    work_off()
    done = people["ann"].get(queued["url"]).json()
    assert (done["status"], done["output_data"], done["tools"][0]["result"]) == ("COMPLETED", "polly", "ann")


def test_runs_are_filtered_and_paged(people, users):
    for number in range(3):
        AgentExecution.objects.create(agent_name="a", user=users["ann"], input_prompt=str(number))
    AgentExecution.objects.create(agent_name="b", user=users["ann"], status="FAILED", input_prompt="")
    AgentExecution.objects.create(agent_name="a", user=users["bob"], input_prompt="")

    def found(name, **asked):
        response = people[name].get(EXECUTIONS, **asked)
        assert response.status_code == 200, response.content
        return response.json()

    assert len(found("ann")["results"]) == 4
    assert len(found("staff")["results"]) == len(found("root")["results"]) == 5
    assert [one["agent_name"] for one in found("ann", status="FAILED")["results"]] == ["b"]
    assert len(found("ann", agent="a")["results"]) == 3
    assert len(found("ann", created_from="2020-01-01T00:00:00Z")["results"]) == 4
    assert not found("ann", created_before="2020-01-01T00:00:00Z")["results"]
    first = found("ann", limit=3)
    rest = found("ann", limit=3, offset=first["next_offset"])
    assert (len(first["results"]), len(rest["results"]), rest["next_offset"]) == (3, 1, None)
    for asked in ({"agents": "a"}, {"limit": 101}, {"limit": 0}, {"status": "x"}, {"agent": "\x00"},
                  {"created_from": "2020-01-01T00:00:00"}, {"created_from": "0001-01-01T00:00:00+14:00"}):  # fmt: skip
        problem(people["ann"].get(EXECUTIONS, **asked), 422)


def test_cancel_and_retry(people, users):
    row = AgentExecution.objects.create(agent_name="parrot", user=users["ann"], input_prompt="again")
    problem(people["ann"].post(f"{EXECUTIONS}{row.pk}/retry/", {}), 409, "at-work")
    cancelled = people["ann"].post(f"{EXECUTIONS}{row.pk}/cancel/", {})
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "CANCELLED")
    problem(people["ann"].post(f"{EXECUTIONS}{row.pk}/cancel/", {}), 409, "ended")
    tried = [people["keeper"].post(f"{EXECUTIONS}{row.pk}/retry/", {}, **{"Idempotency-Key": "r"}) for _ in range(2)]
    assert [one.status_code for one in tried] == [202, 202]
    assert tried[0].json() == tried[1].json()
    work_off()
    new = AgentExecution.objects.exclude(pk=row.pk).get()
    assert (new.user_id, new.input_prompt, new.status) == (users["ann"].pk, "again", Status.COMPLETED)
    assert new.tools.get().result == "ann"
    users["ann"].is_active = False
    users["ann"].save()
    problem(people["keeper"].post(f"{EXECUTIONS}{row.pk}/retry/", {}), 409, "agent")


def test_workflows(people, users):
    def execute(pattern, *agents, status=200, **body):
        response = people["ann"].post(
            f"{WORKFLOWS}execute/", {"pattern": pattern, "agents": agents, "prompt": "go", **body}
        )
        assert response.status_code == status, response.content
        return response.json()

    done = execute("sequential", "parrot", "chooser", name="two")
    assert (done["output"], [step["agent"] for step in done["steps"]]) == ("parrot", ["parrot", "chooser"])
    assert execute("conditional", "chooser", "parrot", "broken")["output"] == "polly"
    parallel = execute("parallel", "parrot", "broken", concurrency=1)
    assert parallel["output"] == {"parrot": "polly"}
    assert "wing" in next(step["error"] for step in parallel["steps"] if step["agent"] == "broken")
    failed = execute("sequential", "broken", status=502)
    assert people["ann"].get(failed["instance"]).json()["status"] == "FAILED"
    assert execute("sequential", "mute", status=503)["type"].endswith("no-model")
    assert execute("sequential", "nothing", status=404)
    assert execute("conditional", "parrot", status=422)["type"].endswith("workflow")
    assert execute("round", "parrot", status=422)
    assert execute("sequential", status=422)
    rows = people["ann"].get(WORKFLOWS).json()["results"]
    assert [row["status"] for row in rows] == ["FAILED", "COMPLETED", "COMPLETED", "COMPLETED"]
    assert [row["workflow_name"] for row in rows][-1] == "two"
    detail = people["ann"].get(done["url"]).json()
    assert [one["agent_name"] for one in detail["executions"]] == ["parrot", "chooser"]
    assert {row.user_id for row in WorkflowExecution.objects.all()} == {users["ann"].pk}
    assert people["bob"].get(WORKFLOWS).json()["results"] == []
    problem(people["bob"].get(done["url"]), 404)
    assert len(people["staff"].get(WORKFLOWS, status="COMPLETED").json()["results"]) == 3
    waiting = execute("sequential", "careful", status=202)
    assert waiting["status"] == "PENDING"


def test_approvals(people, users):
    waiting = run(people["ann"], "careful", status=202)
    assert waiting["status"] == "PENDING"
    (request,) = people["ann"].get(APPROVALS).json()["results"]
    assert (request["tool_name"], request["agent_name"], request["user_id"]) == ("delete", "careful", users["ann"].pk)
    assert people["bob"].get(APPROVALS).json()["results"] == []
    assert len(people["staff"].get(APPROVALS).json()["results"]) == 1
    path = f"{APPROVALS}{request['id']}/decide/"
    problem(people["ann"].post(path, {"approve": True}), 403, "permission")
    problem(people["keeper"].post(path, {"approve": 5}), 422)
    problem(people["keeper"].post(f"{APPROVALS}{2**63 - 1}/decide/", {"approve": True}), 404)
    problem(people["keeper"].post(f"{APPROVALS}{2**63}/decide/", {"approve": True}), 422)
    decided = people["keeper"].post(path, {"approve": True})
    assert decided.status_code == 200, decided.content
    told = decided.json()
    assert (told["status"], told["continues"], told["note"]) == ("APPROVED", True, "")
    assert decided.json()["decided_by"] == users["keeper"].pk
    problem(people["keeper"].post(path, {"approve": False}), 409, "decided")
    work_off()
    assert people["ann"].get(waiting["url"]).json()["output_data"] == "done"
    assert people["keeper"].get(APPROVALS).json()["results"] == []


def test_what_is_not_there(people):
    for path in (f"{EXECUTIONS}{uuid4()}/", f"{WORKFLOWS}{uuid4()}/"):
        problem(people["root"].get(path), 404, "not-found")
    problem(people["root"].get(f"{EXECUTIONS}x/"), 422)


def test_without_the_app(monkeypatch, settings):
    assert "orchestrator/" in routers()
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "pgknowbase.agents" and installed(name))
    assert list(routers()) == ["knowledge/", "chat/"]
    asked = {"ROUTERS": get_settings().api.routers}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": asked}
    with pytest.raises(ConfigurationError, match=r"'pgknowbase\.agents' is not installed: add it to INSTALLED_APPS"):
        routers()
