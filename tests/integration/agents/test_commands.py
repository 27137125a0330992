"""The commands of agents, the registry, and who may use agents of the database."""

import json
import shlex
import subprocess
import sys

import pydantic_ai.models
import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.forms import modelform_factory

from pgknowbase.agents import DjangoAgent, TestModel, agent_names, get_agent, registry
from pgknowbase.agents.admin.definition import DefinitionForm
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status
from pgknowbase.core.discovery import importing
from pgknowbase.errors import AgentError, ConfigurationError, UnknownAgentError
from pgknowbase.testing import ChatProvider
from tests.integration.agents.conftest import make_agent, saying, work_off
from tests.projects.assistants.agents import echo

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
        *(
            (["echo", "x", f"--timeout={text}"], "not a number of seconds")
            for text in ("-3", "0", "nan", "inf", "soon")
        ),
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
    assert "It cannot run yet. Agent 'numbers' cannot use the model 'nowhere:x'" in capsys.readouterr().out
    assert "numbers" in agent_names()
    assert get_agent("numbers").name == "numbers"
    result = get_agent("numbers").run_sync("x", model=saying("three"))
    assert result.output == "three"
    for name in ("numbers", "echo"):
        with pytest.raises(CommandError, match="exists already"):
            call_command("create_agent", "--name", name, "--type", "custom")


def test_what_create_agent_says_to_run_runs(capsys, set_agents, monkeypatch):
    monkeypatch.setattr(pydantic_ai.models, "ALLOW_MODEL_REQUESTS", True)
    with ChatProvider() as provider:
        set_agents(MODEL="local:any", PROVIDERS={"local": provider.settings()})
        call_command("create_agent", "--name", "two words", "--type", "custom")
        command = capsys.readouterr().out.partition("Run it: manage.py ")[2]
        call_command(*shlex.split(command))
    assert AgentExecution.objects.get().status == Status.COMPLETED


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("", "has no model: name one"),
        ("openai", "write it as 'provider:name'"),
        ("far:m", "'FAR_KEY', which is not set"),
    ],
)
def test_create_agent_says_what_is_missing(capsys, set_agents, model, missing):
    set_agents(MODEL=model, PROVIDERS={"far": {"BASE_URL": "https://far.example/v1", "API_KEY_ENV": "FAR_KEY"}})
    call_command("create_agent", "--name", "mine", "--type", "content")
    assert missing in capsys.readouterr().out


def test_metrics_of_an_agent_that_nobody_knows():
    with pytest.raises(CommandError, match="'nope' is unknown and has no runs"):
        call_command("agent_metrics", "--agent", "nope")
    AgentExecution.objects.create(agent_name="gone", status=Status.COMPLETED)
    call_command("agent_metrics", "--agent", "gone")
    call_command("agent_metrics", "--agent", "echo")


@pytest.mark.parametrize("name", ["", "x" * 201, "a/b", "a\nb"])
def test_names_that_cannot_be_called(name):
    with pytest.raises(CommandError, match="is not a name for an agent"):
        call_command("create_agent", f"--name={name}", "--type", "custom")
    with pytest.raises(AgentError, match="is not a name for an agent"):
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
    assert output(capsys, "agent_metrics") == "No runs yet.\n"
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
    assert output(capsys, "agent_metrics", "--since", "2999-01-01") == "No runs yet.\n"
    for since in ("soon", "999999w", "2026-02-31"):
        with pytest.raises(CommandError, match="is not a time"):
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
    assert "content_analyzer" in registry.agents
    with (
        importing("elsewhere.agents"),
        pytest.raises(ConfigurationError, match=r"in 'tests\.projects\.assistants\.agents' and in 'elsewhere\.agents'"),
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
