"""Agents, workflows, tools and reactions: each name that users write, as they write it."""

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q
from django.db.models.signals import post_save
from django.http import HttpResponse
from pydantic import BaseModel

from pgknowbase import on_change
from pgknowbase.agents import DjangoAgent, DjangoDeps, RunContext, SimpleOrchestrator, TestModel, agent_names
from pgknowbase.agents.middleware import orchestrator_deps
from pgknowbase.agents.models import (
    AgentDefinition,
    AgentExecution,
    ApprovalRequest,
    Status,
    ToolExecution,
    WorkflowExecution,
)
from pgknowbase.agents.toolsets import cache_tools, django_info_tools, file_tools, knowledge_tools, orm_tools
from pgknowbase.errors import ApprovalNeededError, NoModelError

pytestmark = pytest.mark.django_db(transaction=True)


class AnalysisResult(BaseModel):
    summary: str
    score: float


@pytest.fixture
def user(db):
    return User.objects.create_user("ann")


@pytest.fixture
def content_analyzer():
    content_analyzer = DjangoAgent[DjangoDeps, AnalysisResult](
        name="content_analyzer", deps_type=DjangoDeps, output_type=AnalysisResult, instructions="...",
        model="openai:gpt-4o-mini", timeout=60, max_retries=2, register=False)  # fmt: skip

    @content_analyzer.tool
    async def get_user_content(ctx: RunContext[DjangoDeps]) -> str:
        user = await ctx.deps.get_user()
        return f"{ctx.agent_name}: {user.username}"

    return content_analyzer


async def test_snippet(content_analyzer, user, rf):
    model = TestModel(custom_output_args={"summary": "good", "score": 0.9})
    request = rf.get("/")
    deps = DjangoDeps(user_id=user.id, request=request, session_data={})
    result = await content_analyzer.run(prompt="...", deps=deps, model=model)
    assert result.output == AnalysisResult(summary="good", score=0.9)
    assert result.execution_time > 0
    assert result.tokens_used > 0
    assert result.cost is None
    row = await AgentExecution.objects.aget(pk=result.execution_id)
    assert (row.agent_name, row.user_id, row.status, row.input_prompt) == (
        *("content_analyzer", user.pk, "COMPLETED", "..."),
    )
    assert (row.output_data, row.error, row.cost) == ({"summary": "good", "score": 0.9}, "", None)
    assert (row.execution_time, row.tokens_used) == (result.execution_time, result.tokens_used)
    assert row.started_at <= row.completed_at
    assert (row.workflow, row.order) == (None, None)
    assert (await ToolExecution.objects.aget()).result == "content_analyzer: ann"


def test_run_sync_and_deps(content_analyzer, user, rf):
    model = TestModel(custom_output_args={"summary": "good", "score": 0.9})
    assert content_analyzer.run_sync(prompt="x", deps=DjangoDeps.from_user(user), model=model).output.score == 0.9
    request = rf.get("/")
    request.user = user
    deps = DjangoDeps.from_request(request)
    assert (deps.user_id, deps.request) == (user.pk, request)
    assert async_to_sync(deps.get_user)() == user


async def test_stream():
    agent = DjangoAgent[DjangoDeps, str](name="streams", register=False)
    model = TestModel(custom_output_text="one two three")
    async with agent.run_stream("x", model=model) as answer:
        assert "".join([piece async for piece in answer.stream_text(delta=True)]) == "one two three"
    assert (await AgentExecution.objects.aget()).output_data == "one two three"


def test_no_model_is_an_error():
    with pytest.raises(NoModelError, match="has no model"):
        DjangoAgent(name="mute", register=False).run_sync("x")


def test_rows_have_the_fields_that_are_named():
    assert Status.values == ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
    named = {
        AgentExecution: "agent_name user status input_prompt output_data error execution_time tokens_used cost"
        " started_at completed_at workflow order",
        WorkflowExecution: "workflow_name user pattern agents status initial_prompt final_output config progress"
        " total_tokens total_cost",
        ToolExecution: "execution tool_name arguments result status",
        ApprovalRequest: "execution tool_name arguments status decided_by",
        AgentDefinition: "name instructions model toolsets owner users groups is_public",
    }
    for model, names in named.items():
        assert set(names.split()) <= {field.name for field in model._meta.get_fields()}, model
        assert apps.get_model("pgknowbase_agents", model.__name__) is model


def agents(*names):
    return [DjangoAgent(name=name, register=False, model=TestModel(custom_output_text=name)) for name in names]


@pytest.mark.parametrize(("pattern", "output"), [("sequential", "b"), ("parallel", {"a": "a", "b": "b"})])
def test_workflows(pattern, output, user):
    seen = []

    def receive(instance, **kwargs):
        seen.append((type(instance).__name__, instance.status))

    for model in (AgentExecution, WorkflowExecution):
        post_save.connect(receive, sender=model)
    try:
        deps = DjangoDeps(user_id=user.id)
        result = SimpleOrchestrator().execute_sync(pattern, agents("a", "b"), prompt="go", deps=deps)
    finally:
        for model in (AgentExecution, WorkflowExecution):
            post_save.disconnect(receive, sender=model)
    assert result.output == output
    row = WorkflowExecution.objects.get(pk=result.workflow_id)
    assert (row.pattern, row.status, row.user, row.progress) == (pattern, "COMPLETED", user, 100)
    assert (row.agents, row.initial_prompt, row.final_output) == (["a", "b"], "go", output)
    assert row.total_tokens == sum(row.executions.values_list("tokens_used", flat=True)) > 0
    assert seen.count(("AgentExecution", "RUNNING")) == seen.count(("AgentExecution", "COMPLETED")) == 2
    assert ("WorkflowExecution", "RUNNING") in seen
    assert seen[-1] == ("WorkflowExecution", "COMPLETED")


def test_conditional_workflow():
    chooser = DjangoAgent(name="chooser", register=False, model=TestModel(custom_output_text="b"))
    result = SimpleOrchestrator().execute_sync("conditional", [chooser, *agents("a", "b")], prompt="go")
    assert result.output == "b"


def test_tool_sets_and_permissions(tmp_path):
    sets = [knowledge_tools(), orm_tools({}), cache_tools(), file_tools(tmp_path), django_info_tools()]
    agent = DjangoAgent(name="tools", register=False, toolsets=sets, permissions={"delete_file": "ask"})
    with pytest.raises(ApprovalNeededError):
        agent.run_sync("x", model=TestModel(call_tools=["delete_file"]))
    assert ApprovalRequest.objects.get().tool_name == "delete_file"


def test_on_change_takes_model_fields_and_condition(monkeypatch):
    from pgknowbase.reactions import registry
    from tests.projects.newsroom.models import Story

    monkeypatch.setattr(registry, "_declared", list(registry._declared))
    monkeypatch.setattr(registry, "_listeners", [])

    declared = len(registry._declared)

    @on_change(Story, fields=["body"], condition=Q(status="draft"))
    def analyse(change):
        """Nothing."""

    assert len(registry._declared) == declared + 1


def test_agents_of_apps_are_found():
    assert "content_analyzer" in agent_names()


def test_middleware(user, rf):
    middleware = orchestrator_deps(lambda request: HttpResponse())
    request = rf.get("/")
    request.user = user
    middleware(request)
    assert request.orchestrator_deps.user_id == user.pk
    request.user = AnonymousUser()
    middleware(request)
    assert request.orchestrator_deps is None


def test_routes_are_where_they_were(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    expected = {
        "/api/orchestrator/ai-agents/": {"get"},
        "/api/orchestrator/ai-agents/{agent_name}/run/": {"post"},
        "/api/orchestrator/executions/": {"get"},
        "/api/orchestrator/executions/{execution_id}/": {"get"},
        "/api/orchestrator/workflows/execute/": {"post"},
        "/api/knowledge/search/": {"get", "post"},
        "/api/knowledge/sync/": {"post"},
        "/api/knowledge/status/": {"get"},
    }
    assert {path: set(paths[path]) for path in expected} == expected
    assert client.get("/api/docs").status_code == 200
