"""Models: the chat and the agents that the caller may use; agents as completions."""

import json

import openai
import pytest
from pydantic import BaseModel

from pgknowbase.agents import DjangoAgent, TestModel, registry
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status
from pgknowbase.errors import AgentError
from pgknowbase.testing import ToolCall
from tests.integration.openai.conftest import CHAT, said, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class City(BaseModel):
    name: str


@pytest.fixture
def agents(model, monkeypatch, users):
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))
    DjangoAgent(name="echo", description="Repeats.", model_settings={"max_tokens": 50})
    DjangoAgent(name="city", output_type=City, model=TestModel(custom_output_args={"name": "Ulm"}))
    careful = DjangoAgent(name="careful", permissions={"delete": "ask"})
    careful.tool_plain(lambda: "gone", name="delete")
    whose = AgentDefinition.objects.create(name="bob's own", instructions="x")
    whose.users.add(users["bob"])
    return model


@pytest.fixture
def ann(client_of, agents, users):
    return client_of(users["ann"])


def test_models_are_what_the_caller_may_ask(ann, client_of, users):
    assert [model.id for model in ann.models.list()] == [CHAT, "careful", "city", "echo"]
    assert [model.id for model in client_of(users["bob"]).models.list()][1] == "bob's own"
    assert [model.id for model in client_of(users["bob"], "chat").models.list()] == [CHAT]
    assert [model.id for model in client_of(users["bob"], "search").models.list()] == []
    assert ann.models.retrieve("echo").model_dump()["description"] == "Repeats."
    assert client_of(users["bob"]).models.retrieve("bob's own").object == "model"
    for name in ("bob's own", "nothing", "a/b", "x" * 300):
        for ask in (
            lambda name=name: ann.models.retrieve(name),
            lambda name=name: ann.chat.completions.create(model=name, messages=[said("x")]),
        ):
            with pytest.raises(openai.NotFoundError) as refused:
                ask()
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert not AgentExecution.objects.exists()


def test_an_agent_cannot_have_the_name_of_the_chat():
    with pytest.raises(AgentError, match="give the agent another"):
        DjangoAgent(name=CHAT)


def test_answer_of_an_agent(ann, agents, users):
    messages = [said("Be brief.", "system"), said("one"), said("two", "assistant"), said("three")]
    options = {"model": "echo", "messages": messages, "temperature": 0.5, "max_tokens": 400}
    answer = ann.chat.completions.create(**options)
    assert answer.choices[0].message.content == "three"
    (run,) = AgentExecution.objects.all()
    assert (run.user, run.agent_name, answer.usage.total_tokens) == (users["ann"], "echo", run.tokens_used)
    asked = agents.requests[0]
    assert [(each["role"], each["content"]) for each in asked["messages"]] == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    # What its author allows cannot be raised.
    assert (asked["temperature"], asked.get("max_completion_tokens") or asked["max_tokens"]) == (0.5, 50)
    with ann.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "three"
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens


def test_output_that_is_no_text_is_json(ann):
    answer = ann.chat.completions.create(model="city", messages=[said("where")])
    assert json.loads(answer.choices[0].message.content) == {"name": "Ulm"}
    with ann.chat.completions.create(model="city", messages=[said("where")], stream=True) as stream:
        assert json.loads("".join(chunk.choices[0].delta.content or "" for chunk in stream)) == {"name": "Ulm"}


def whole(client, **asked):
    """An answer that is read to its end."""
    answer = client.chat.completions.create(**asked)
    return list(answer) if asked.get("stream") else answer


def test_a_tool_that_a_person_has_to_approve(ann, agents):
    """The client is told not to ask again by itself: each time another run would wait."""
    for number, more in enumerate(({}, {"stream": True}), 1):
        agents.say(ToolCall("delete"))
        with pytest.raises(openai.APIError) as refused:
            whole(ann.with_options(max_retries=3), model="careful", messages=[said("x")], **more)
        assert refused.value.code == "approval"
        assert AgentExecution.objects.filter(status=Status.PENDING).count() == number


def test_budget_of_agents(ann, settings):
    agents = {**settings.PGKNOWBASE["AGENTS"], "BUDGET_TOTAL": {"RUNS": 0}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
    for more in ({}, {"stream": True}):
        with pytest.raises(openai.RateLimitError) as refused:
            ann.chat.completions.create(model="echo", messages=[said("x")], **more)
        assert refused.value.code == "insufficient_quota"


def test_client_that_goes_in_mid_stream(ann, agents):
    agents.answer = lambda body: "word " * 20_000
    with ann.chat.completions.create(model="echo", messages=[said("x")], stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    wait_until(lambda: AgentExecution.objects.filter(status=Status.CANCELLED).exists())
