import asyncio

import pytest
from pydantic_ai.models.function import FunctionModel

from pgknowbase.agents import DjangoAgent, registry
from pgknowbase.testing import ToolCall

# A language model on localhost, articles of ann and bob, and the project under uvicorn.
from tests.integration.api.conftest import grant
from tests.integration.chat.conftest import _settings, library, model, session, set_chat, users  # noqa: F401
from tests.integration.openai.conftest import asgi, pages, site  # noqa: F401
from tests.integration.search.conftest import index, provider  # noqa: F401


def broken() -> str:
    """Break."""
    raise RuntimeError("the password is 4711")


async def endless(messages, info):
    yield "begun"
    await asyncio.sleep(600)


@pytest.fixture
def deleted():
    """What the agent has deleted."""
    return []


@pytest.fixture
def agents(monkeypatch, deleted):
    """``careful`` has a tool that a person has to approve, ``failing`` one that breaks, ``slow`` never ends."""
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))

    def delete(title: str) -> str:
        """Delete an article."""
        deleted.append(title)
        return f"{title} is gone"

    DjangoAgent(name="careful", tools=[delete], permissions={"delete": "ask"})
    DjangoAgent(name="parrot")
    DjangoAgent(name="failing", tools=[broken])
    DjangoAgent(name="slow", model=FunctionModel(stream_function=endless))


@pytest.fixture
def answers(model):  # noqa: F811
    """What the model says: it deletes what it is told to, and tells what the tool returned."""

    def answer(body):
        last = body["messages"][-1]
        if last["content"] == "break":
            return ToolCall("broken")
        if last["role"] == "tool":
            return f"Done: {last['content']}"
        if body.get("tools") and last["content"].startswith("delete "):
            return ToolCall("delete", {"title": last["content"].removeprefix("delete ")})
        return "Weekly, near 0.9 [1]." if "PASSAGES" in str(body).upper() else last["content"]

    model.answer = answer
    return model


@pytest.fixture
def ann(users):  # noqa: F811
    return grant(users["ann"], "pgknowbase_agents.change_approvalrequest")
