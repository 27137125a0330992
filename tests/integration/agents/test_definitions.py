"""Agents kept in the database whose rows were saved without the admin's form."""

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.urls import reverse

from pgknowbase.agents import agent_names, get_agent
from pgknowbase.agents.models import AgentDefinition, AgentExecution
from pgknowbase.errors import AgentError, NoModelError

pytestmark = pytest.mark.django_db
BROKEN = {
    "unknown tool set": ({"toolsets": ["teleport"]}, "'teleport' is unknown: use 'cache'"),
    "tool sets that are no list": ({"toolsets": 5}, "toolsets is 5: give a list"),
    "tool sets as text": ({"toolsets": "orm"}, "toolsets is 'orm': give a list"),
    "a tool set that is no name": ({"toolsets": [["orm"]]}, "is unknown: use 'cache'"),
    "unknown permission": ({"permissions": {"search": "maybe"}}, "write 'allow', 'deny' or 'ask'"),
    "permissions that are no object": ({"permissions": ["search"]}, "permissions is .* give an object"),
    "bad/name": ({}, "not a name for an agent"),
    "no time": ({"timeout": -1.0}, "timeout is -1.0: give seconds above 0"),
}


@pytest.fixture
def rows(db):
    AgentDefinition.objects.create(
        name="sound", instructions="x", model="test", is_public=True, toolsets=["orm", "orm"]
    )
    for name, (wrong, _) in BROKEN.items():
        AgentDefinition.objects.create(name=name, instructions="x", is_public=True, **{"model": "test", **wrong})


@pytest.fixture
def root(client):
    client.force_login(User.objects.create_superuser("root"))
    return client


def listed(client):
    response = client.get("/api/orchestrator/ai-agents/")
    assert response.status_code == 200, response.content
    return {one["name"]: one["model"] for one in response.json()["results"] if one["kept_in"] == "database"}


def test_a_row_that_cannot_be_an_agent_is_left_out_of_lists(rows, root, caplog):
    assert listed(root) == {"sound": "test"}
    said = "\n".join(record.getMessage() for record in caplog.records if record.name == "pgknowbase.agents")
    for name, (wrong, _) in BROKEN.items():
        assert f"({name!r}) cannot be an agent" in said, wrong
    assert "sound" in agent_names()
    assert not {*BROKEN} & {*agent_names()}
    with pytest.raises(CommandError, match="'nobody' is unknown"):
        call_command("run_agent", "nobody", "x")


@pytest.mark.parametrize("name", BROKEN)
def test_running_it_is_refused(rows, root, name):
    with pytest.raises(AgentError, match=BROKEN[name][1]):
        get_agent(name)
    with pytest.raises(CommandError, match=BROKEN[name][1]):
        call_command("run_agent", name, "x")
    if "/" not in name:
        response = root.post(f"/api/orchestrator/ai-agents/{name}/run/", {"prompt": "x"}, "application/json")
        assert response.status_code == 409
        assert "cannot be an agent" in response.json()["detail"]
    assert not AgentExecution.objects.exists()


def test_the_admin_shows_why(rows, root):
    page = root.get(reverse("admin:pgknowbase_agents_agentdefinition_changelist")).content.decode()
    assert page.count("cannot be an agent") == len(BROKEN)
    row = AgentDefinition.objects.get(name="unknown tool set")
    page = root.get(reverse("admin:pgknowbase_agents_agentdefinition_change", args=[row.pk])).content.decode()
    assert "Tool set &#x27;teleport&#x27; is unknown" in page


def test_one_without_a_model_is_listed_so_and_does_not_run(root, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": {}}
    AgentDefinition.objects.create(name="mute", instructions="x", is_public=True)
    assert listed(root) == {"mute": None}
    with pytest.raises(NoModelError, match="'mute' has no model"):
        get_agent("mute").run_sync("x")
    page = root.get(reverse("admin:pgknowbase_agents_agentdefinition_changelist")).content.decode()
    assert "&#x27;mute&#x27; has no model" in page
