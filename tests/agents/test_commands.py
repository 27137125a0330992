"""The commands of agents, the registry, and who may use agents of the database."""

import json
import subprocess
import sys

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.forms import modelform_factory

from pgknowbase.agents import DjangoAgent, TestModel, agent_names, get_agent, registry
from pgknowbase.agents.admin.definition import DefinitionForm
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status
from pgknowbase.discovery import importing
from pgknowbase.errors import AgentError, ConfigurationError, UnknownAgentError
from tests.agents.agents import echo
from tests.agents.conftest import make_agent, saying, work_off

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr(echo, "model", TestModel(custom_output_text="said"))


def output(capsys, *arguments):
    call_command(*arguments)
    return capsys.readouterr().out


def test_run_agent(capsys, user):
    assert output(capsys, "run_agent", "echo", "hello", "--user", "ann") == "said\n"
    row = AgentExecution.objects.get()
    assert (row.user_id, row.input_prompt, row.status) == (user.pk, "hello", Status.COMPLETED)
    shown = json.loads(output(capsys, "run_agent", "echo", "x", "--user", str(user.pk), "--format", "json"))
    assert shown["output"] == "said"
    assert shown["cost"] is None
    assert AgentExecution.objects.filter(pk=shown["execution_id"], user=user).exists()


def test_run_agent_in_the_background(capsys):
    assert "Queued as" in output(capsys, "run_agent", "echo", "hello", "--background")
    assert AgentExecution.objects.get().status == Status.PENDING
    work_off()
    assert AgentExecution.objects.get().output_data == "said"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody", "x"], "Agent 'nobody' is unknown"),
        (["echo", "x", "--user", "nobody"], "User 'nobody' does not exist"),
        (["echo", "x", "--model", "nowhere:x"], "'nowhere:x'"),
        (["echo", "x", "--background", "--model", "nowhere:x"], "has its agent's model and timeout"),
        (["echo", "x", "--background", "--timeout", "5"], "has its agent's model and timeout"),
        *((["echo", "x", f"--timeout={text}"], "no number of seconds") for text in ("-3", "0", "nan", "inf", "soon")),
    ],
)
def test_run_agent_says_what_is_wrong(arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("run_agent", *arguments)
    assert not AgentExecution.objects.exclude(status=Status.FAILED).exists()


def test_run_agent_for_a_user_who_may_not_use_it(user):
    row = AgentDefinition.objects.create(name="kept", instructions="x", model="test")
    for more in ([], ["--background"]):
        with pytest.raises(CommandError, match="'kept' is unknown"):
            call_command("run_agent", "kept", "x", "--user", "ann", *more)
    assert not AgentExecution.objects.exists()
    row.users.add(user)
    call_command("run_agent", "kept", "x", "--user", "ann", "--background")
    assert AgentExecution.objects.get().user == user


def test_create_agent(capsys, user, set_agents):
    set_agents(MODEL="nowhere:x")
    call_command("create_agent", "--name", "numbers", "--type", "data", "--owner", "ann")
    row = AgentDefinition.objects.get()
    assert (row.kind, row.toolsets, row.owner) == ("data", ["knowledge", "orm"], user)
    assert "numbers" in agent_names()
    assert get_agent("numbers").name == "numbers"
    result = get_agent("numbers").run_sync("x", model=saying("three"))
    assert result.output == "three"
    for name in ("numbers", "echo"):
        with pytest.raises(CommandError, match="exists already"):
            call_command("create_agent", "--name", name, "--type", "custom")


@pytest.mark.parametrize("name", ["", "x" * 201, "a/b", "a\nb"])
def test_names_that_cannot_be_called(name):
    with pytest.raises(CommandError, match="is no name of an agent"):
        call_command("create_agent", f"--name={name}", "--type", "custom")
    with pytest.raises(AgentError, match="is no name of an agent"):
        make_agent(name)
    given = {"name": name, "kind": "custom", "instructions": "x", "toolsets": "[]", "permissions": "{}"}
    form = modelform_factory(AgentDefinition, DefinitionForm, fields=list(given))
    assert "name" in form(given).errors
    assert "An agent in code" in str(form({**given, "name": "echo"}).errors["name"])
    assert form({**given, "name": "mine"}).is_valid()


def test_who_may_use_an_agent_of_the_database(user):
    other, group = User.objects.create_user("eve"), Group.objects.create(name="readers")
    row = AgentDefinition.objects.create(name="kept", instructions="x", owner=user)
    assert get_agent("kept", user=user)
    with pytest.raises(UnknownAgentError) as caught:
        get_agent("kept", user=other)
    assert "kept" not in str(caught.value).partition("Known:")[2]
    row.groups.add(group)
    other.groups.add(group)
    assert get_agent("kept", user=other)
    AgentDefinition.objects.update(is_active=False)
    with pytest.raises(UnknownAgentError):
        get_agent("kept", user=user)


def test_agent_metrics(capsys):
    assert output(capsys, "agent_metrics") == "No run yet.\n"
    for seconds in (1.0, 2.0, 3.0):
        AgentExecution.objects.create(
            agent_name="a", input_prompt="", status="COMPLETED", execution_time=seconds, tokens_used=10, cost="0.25"
        )
    AgentExecution.objects.create(agent_name="b", input_prompt="", status="FAILED", requests=1)
    found = {row["agent"]: row for row in json.loads(output(capsys, "agent_metrics", "--format", "json"))}
    assert found["a"]["runs"] == found["a"]["completed"] == 3
    assert (found["a"]["p50"], found["a"]["p99"], found["a"]["tokens"]) == (2.0, 2.98, 30)
    assert float(found["a"]["cost"]) == 0.75
    assert (found["b"]["failed"], found["b"]["cost"], found["b"]["unpriced"], found["b"]["p50"]) == (1, None, 1, None)
    table = output(capsys, "agent_metrics", "--agent", "a", "--since", "24h")
    assert "2.98" in table
    assert "b " not in table
    assert output(capsys, "agent_metrics", "--since", "2999-01-01") == "No run yet.\n"
    for since in ("soon", "999999w", "2026-02-31"):
        with pytest.raises(CommandError, match="is no time"):
            call_command("agent_metrics", "--since", since)


def test_orchestrator_status(capsys):
    AgentExecution.objects.create(agent_name="b", input_prompt="", status="FAILED", error="it broke")
    shown = json.loads(output(capsys, "orchestrator_status", "--sweep", "--format", "json"))
    assert {"name": "content_analyzer", "from": "code", "model": "openai:gpt-4o-mini"} in shown["agents"]
    assert shown["waiting"] == {"running": 0, "pending": 0, "workflows": 0, "approvals": 0}
    assert shown["last_day"]["failed"] == 1
    assert shown["failures"][0]["error"] == "it broke"
    assert "it broke" in output(capsys, "orchestrator_status")


def test_registry():
    assert "content_analyzer" in registry.declared()
    with (
        importing("elsewhere.agents"),
        pytest.raises(ConfigurationError, match=r"in 'tests\.agents\.agents' and in 'elsewhere\.agents'"),
    ):
        DjangoAgent(name="echo")


WITHOUT = """
import sys
for name in ('pydantic_ai', 'genai_prices', 'django_tasks', 'openai'):
    sys.modules[name] = None  # as if it were not installed
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.postgres', 'pgtrigger',
                    'pgknowbase', 'pgknowbase.agents'],
    DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql'}},
)
django.setup()
import pgknowbase.agents.models
from pgknowbase.errors import PgKnowbaseError
try:
    from pgknowbase.agents import DjangoAgent
except PgKnowbaseError as error:
    print(error)
"""


def test_without_the_extra():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install 'django-pgknowbase[agents]'" in done.stdout


def test_app_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "pgknowbase.agents")
    with pytest.raises(ConfigurationError, match="add it to INSTALLED_APPS"):
        make_agent().run_sync("x", model=TestModel())
