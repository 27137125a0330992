"""Examples of agents, chat and reactions. The language model is a server of the test, asked over HTTP."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db.models import Q
from django.http import JsonResponse
from pydantic import BaseModel
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from pgknowbase.agents import DjangoAgent, DjangoDeps, TestModel
from pgknowbase.agents.models import AgentExecution, ApprovalRequest
from pgknowbase.agents.registry import agents
from pgknowbase.agents.workflows.registry import workflows
from pgknowbase.errors import ApprovalNeededError
from pgknowbase.reactions import registry as reactions
from pgknowbase.reactions.change import Change
from pgknowbase.testing import ToolCall
from tests.acceptance.documentation.examples import installed
from tests.integration.api.conftest import token_of
from tests.projects.blog.models import Article
from tests.projects.newsroom.models import Story, Wire

ANALYSIS = ToolCall("final_result", {"summary": "good", "score": 0.9})
DRF = {
    "APIView": APIView,
    "IsAuthenticated": IsAuthenticated,
    "Response": Response,
    "JsonResponse": JsonResponse,
    "BaseCommand": BaseCommand,
    "async_to_sync": async_to_sync,
    "asyncio": asyncio,
}


class Review(BaseModel):
    summary: str
    score: float


@pytest.fixture(autouse=True)
def forgotten():
    """What the examples declare is forgotten after the test."""
    kept = [(declared, dict(declared)) for declared in (agents, workflows)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def test_agents(page, user, request_of, provider, accepted, settings):
    page.take("sh")
    names = {"user": user, "request": request_of(user, text="Look"), "Article": Article, **DRF}
    page.run(names)
    provider.say(ToolCall("get_user_content"), ANALYSIS)
    assert page.run(names)["result"].output.summary == "good"
    assert "content_analyzer reads what ann wrote" in json.dumps(provider.requests)

    # Views and commands.
    page.run(names)
    provider.say(ANALYSIS)
    answered = async_to_sync(names["analyse"])(names["request"])
    assert json.loads(answered.content)["output"] == {"summary": "good", "score": 0.9}
    page.run(names)
    provider.say(ANALYSIS)
    request = APIRequestFactory().post("/", {"text": "Look"})
    force_authenticate(request, user)
    assert names["AnalyseView"].as_view()(request).data["output"] == {"summary": "good", "score": 0.9}
    page.run(names)
    Article.objects.create(title="Bread", body="Let the dough rise.", author=user)
    provider.say(ANALYSIS)
    call_command(names["Command"]())
    assert AgentExecution.objects.filter(status="COMPLETED", user=user).count() == 4

    # Settings.
    kept = settings.PGKNOWBASE
    accepted(**page.run({})["PGKNOWBASE"])
    accepted(**page.entry())
    settings.PGKNOWBASE = kept

    # Workflows, whose agents repeat what they are told.
    for name in ("writer", "facts", "style", "editor", "publisher"):
        DjangoAgent(name=name, model="openai:gpt-4o-mini")
    names["deps"] = DjangoDeps(user_id=user.id)
    provider.say(ANALYSIS)
    assert len(page.run(names)["result"].steps) == 2
    provider.say("facts", "style", "publish")
    assert page.run(names)["result"].output
    page.run(names)
    assert "review" in workflows

    # In the background, tool sets, approvals.
    assert page.run(names)["execution"].status == "PENDING"
    installed(page)
    assert "allow" in str(page.run(names)["helper"].permissions)
    asked = async_to_sync(page.run(names)["agent"].run)  # run_sync of pydantic-ai's leaves its event loop open
    told = asked("What is known?", model=TestModel(call_tools=["search_knowledge"]))
    assert "search_knowledge" in told.output
    asks = DjangoAgent[DjangoDeps, str](name="asks", model="openai:gpt-4o-mini")
    asks.tool_plain(requires_approval=True)(send)
    provider.say(ToolCall("send"), ToolCall("send"))
    names["person"] = boss = User.objects.create_user("boss")
    boss.user_permissions.add(Permission.objects.get(codename="change_approvalrequest"))
    for _ in range(2):
        with pytest.raises(ApprovalNeededError):
            asks.run_sync("Write to ann", deps=DjangoDeps(user_id=user.id))
    first, second = ApprovalRequest.objects.order_by("pk")
    code = page.take("python").splitlines(keepends=True)
    exec("".join(code[:-1]), names | {"request": first})
    exec(code[0] + code[-1], names | {"request": second})
    statuses = ApprovalRequest.objects.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == ["APPROVED", "DENIED"]
    assert page.run(names)["result"].output.score == 0.9


def send() -> str:
    """Send a letter."""
    return "sent"


def test_chat(page, user, provider, accepted):
    page.take("sh")
    accepted(**installed(page)["PGKNOWBASE"])
    assert page.run({"user": user})["answer"].mode == "unknown"


def test_openai(page, user, live_server):
    page.take("sh")
    installed(page)
    code = page.take("python").replace("https://example.org", live_server.url)
    names = {}
    exec(code.replace("pgk_...", token_of(user, "chat")), names)
    names["client"].close()
    assert names["answer"].choices[0].message.content


def test_front_ends(page):
    page.take("sh")
    installed(page)
    page.take("jsx")  # a component of React
    page.take("js")  # tests/integration/ui/test_front_ends.py


def change_of(row):
    return Change(
        reaction="shop.example",
        model=type(row),
        pk=row.pk,
        object_key=str(row.pk),
        op="insert",
        instance=row,
        idempotency_key=str(row.pk),
        attempt=1,
        depth=0,
        changed_at=datetime.now(tz=UTC),
    )


def test_reactions(page, module, provider, accepted, transactional_db, monkeypatch):
    # No triggers: tests/integration/reactions has those.
    monkeypatch.setattr(reactions, "_listeners", [])
    monkeypatch.setattr(reactions, "_declared", [])
    module("shop.models", Article=Story)
    story = Story.objects.create(title="Rain", body="It rains.")
    page.run({"summarise": str.upper, "__name__": "shop.reactions"})["analyse"](change_of(story))
    assert Story.objects.get().summary == "IT RAINS."
    accepted(AGENTS={"MODEL": "openai:gpt-4o-mini"})
    provider.say(ANALYSIS)
    reviewer = page.run({"Article": Wire, "Review": Review, "Q": Q, "__name__": "shop.agents"})["reviewer"]
    wire = Wire.objects.create(headline="Rain", text="It rains.")
    async_to_sync(reviewer.run_for_change)(change_of(wire))
    assert Wire.objects.get().score == 0.9
    assert [reaction.name for reaction in reactions.declared_reactions()] == ["newsroom.analyse", "newsroom.reviewer"]
