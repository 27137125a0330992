"""The requests of open-webui, as its public source writes them (backend/open_webui/routers/openai.py and tasks.py)."""

import json

import httpx2
import pytest

from pgknowbase.agents.models import AgentExecution
from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import CHAT, said, token_of

pytestmark = pytest.mark.django_db(transaction=True)

TITLE = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Guidelines:
- The title should clearly represent the main theme or subject of the conversation.
### Output:
JSON format: { "title": "your concise title here" }
### Examples:
- { "title": "Stock Market Trends" }
### Chat History:
<chat_history>
USER: how near 1.0 are gears
ASSISTANT: Weekly [1].
</chat_history>"""
WHO = {
    "X-OpenWebUI-User-Name": "Bob",
    "X-OpenWebUI-User-Id": "7",
    "X-OpenWebUI-User-Email": "bob@example.org",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "c1",
}


@pytest.fixture
def web(site, library, users):
    """An HTTP client of the connection that an administrator has made: address and key."""
    headers = {"Authorization": f"Bearer {token_of(users['ann'])}", "Content-Type": "application/json", **WHO}
    with httpx2.Client(base_url=f"{site}/v1", headers=headers, timeout=120) as client:
        yield client


def test_list_of_models(web):
    models = web.get("/models").json()
    assert models["object"] == "list"
    assert CHAT in [model["id"] for model in models["data"]]


def test_chat(web, model):
    model.say("how near 1.0 are the gears", "Weekly [1].")
    payload = {
        "stream": True,
        "model": CHAT,
        "messages": [
            said("You are helpful.", "system"),
            said("What are gears?"),
            said("Wheels.", "assistant"),
            said([{"type": "text", "text": ASKED, "cache_control": {"type": "ephemeral"}}]),
        ],
        "params": {},
        "temperature": 0.8,
        "max_tokens": 128,
        "stop": ["</s>"],
        "logit_bias": {"50256": -100},
        "reasoning": {"effort": "low"},
        "user": {"name": "Bob", "id": "7", "email": "bob@example.org", "role": "admin"},
        "metadata": {"user_id": "7", "chat_id": "c1", "session_id": "s1", "features": {}, "files": None},
        "stream_options": {"include_usage": True},
    }
    response = web.post("/chat/completions", json=payload)
    assert response.headers["Content-Type"] == "text/event-stream"
    *chunks, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    read = [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in read if each["choices"]) == "Weekly [1]."
    assert read[-1]["usage"]["total_tokens"] == sum(run.tokens_used for run in AgentExecution.objects.all())


def test_title(web, model):
    """It is made of the conversation alone: nothing is searched for, and nothing cited."""
    model.say('{ "title": "Oiled Gears [1]" }')
    payload = {
        "model": CHAT,
        "messages": [said(TITLE)],
        "stream": False,
        "max_completion_tokens": 1000,
        "metadata": {"task": "title_generation", "chat_id": "c1", "task_body": {"messages": []}},
    }
    answer = web.post("/chat/completions", json=payload).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"title": "Oiled Gears [1]"}
    assert answer["choices"][0]["message"]["annotations"] == []
    (asked,) = model.requests
    assert asked["messages"][-1]["content"] == TITLE
    assert "passages" not in str(asked)
    assert AgentExecution.objects.get().agent_name == "pgknowbase_chat_task"


def test_title_without_a_language_model(web):
    """Nothing is said, and open-webui takes the first words of the question."""
    answer = web.post("/chat/completions", json={"model": CHAT, "messages": [said(TITLE)], "stream": False}).json()
    assert answer["choices"][0]["message"]["content"] == ""


def test_verification_of_a_connection(web, site):
    """What its settings page does: the list of models, with a key that may be wrong."""
    assert web.get("/models").status_code == 200
    assert httpx2.get(f"{site}/v1/models", headers={"Authorization": "Bearer wrong"}).json()["error"]["message"]
