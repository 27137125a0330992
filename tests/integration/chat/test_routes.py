"""Chats over HTTP: sessions of the caller's own, answers at once and as a stream."""

from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.chat import start
from pgknowbase.chat.models import ChatMessage
from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.testing import Fault
from tests.integration.chat.conftest import ASKED, Asker, events, problem, token_of
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)
SESSIONS = "/api/chat/sessions/"


@pytest.fixture
def ann(users, library):
    return Asker.session(users["ann"])


@pytest.fixture
def chat(ann):
    response = ann.post(SESSIONS, {"title": "Bikes"})
    assert response.status_code == 201
    return f"{SESSIONS}{response.json()['id']}/"


def test_ask_and_read(ann, chat, model):
    model.say("Weekly [1][8].")
    answer = ann.post(f"{chat}messages/", {"question": ASKED})
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["role"], told["mode"], told["content"], told["dropped"]) == (
        "assistant",
        "model",
        "Weekly [1].",
        ["[8]"],
    )
    (citation,) = told["citations"]
    article = Article.objects.get(title="Gears")
    assert citation["id"] == f"blog.Article:{article.pk}"
    assert citation["span"] == {"start": 0, "end": len(article.get_external_content())}
    assert told["usage"]["tokens_used"] > 0
    assert told["usage"]["cost"] is None
    page = ann.get(f"{chat}messages/").json()
    assert [each["role"] for each in page["results"]] == ["user", "assistant"]
    assert page["results"][1] == told
    assert page["next_offset"] is None
    passage = ann.get(f"{chat}messages/{told['id']}/citations/1/").json()
    assert (passage["before"], passage["text"], passage["after"]) == ("", article.get_external_content(), "")
    detail = ann.get(chat).json()
    assert detail["session"]["title"] == "Bikes"
    assert detail["usage"] == told["usage"]


def test_stream(ann, chat, model):
    model.say("Weekly [1].")
    response = ann.post(f"{chat}messages/stream/", {"question": ASKED})
    assert response.headers["Content-Type"] == "text/event-stream"
    found = events(response)
    assert found[0][0] == "found"
    assert found[-1][0] == "answered"
    assert "".join(data["text"] for name, data in found if name == "text") == "Weekly [1]."
    assert found[-1][1] == ann.get(f"{chat}messages/").json()["results"][1]


def test_stream_under_asgi(ann, chat, model, users):
    model.say("Weekly [1].")

    async def ask():
        client = AsyncClient()
        headers = {"Authorization": f"Bearer {secret}"}
        response = await client.post(
            f"{chat}messages/stream/", {"question": ASKED}, content_type="application/json", headers=headers
        )
        return b"".join([part async for part in response.streaming_content])

    secret = token_of(users["ann"])
    assert b"event: answered" in async_to_sync(ask)()


def test_stream_that_the_reader_leaves(ann, chat, model):
    model.say("word " * 400)
    response = ann.post(f"{chat}messages/stream/", {"question": ASKED})
    for part in response.streaming_content:
        if b"event: text" in part:
            break
    response.close()
    assert AgentExecution.objects.get().status == Status.CANCELLED
    assert ann.get(f"{chat}messages/").json()["results"][1]["mode"] == "failed"


def test_provider_that_fails(ann, chat, model):
    model.fail_always(Fault.server_error(400))
    body = problem(ann.post(f"{chat}messages/", {"question": ASKED}), 502, "no-answer")
    assert "told to" not in str(body)
    name, data = events(ann.post(f"{chat}messages/stream/", {"question": ASKED}))[-1]
    assert (name, data["status"]) == ("problem", 502)


def test_budget(ann, chat, model, settings):
    agents = {**settings.PGKNOWBASE["AGENTS"], "BUDGET_PER_USER": {"RUNS": 0}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
    problem(ann.post(f"{chat}messages/", {"question": ASKED}), 429, "budget")


def test_chats_of_others_are_not_there(ann, chat, users):
    ann.post(f"{chat}messages/", {"question": ASKED})
    answer = ann.get(f"{chat}messages/").json()["results"][1]["id"]
    bob = Asker.session(users["bob"])
    problem(bob.get(chat), 404, "not-found")
    problem(bob.get(f"{chat}messages/"), 404)
    problem(bob.get(f"{chat}messages/{answer}/citations/1/"), 404)
    problem(bob.post(f"{chat}messages/", {"question": ASKED}), 404)
    problem(bob.post(f"{chat}messages/stream/", {"question": ASKED}), 404)
    assert bob.client.delete(chat).status_code == 404
    assert bob.get(SESSIONS).json()["results"] == []
    own = start(users["bob"])
    problem(bob.get(f"{SESSIONS}{own.pk}/messages/{answer}/citations/1/"), 404)


def test_who_may(ann, chat, users):
    problem(Asker.nobody().get(SESSIONS), 401)
    problem(Asker.nobody().post(SESSIONS, {}), 401)
    problem(Asker.token(token_of(users["ann"], "search")).get(chat), 403, "scope")
    assert Asker.token(token_of(users["ann"], "chat")).get(chat).status_code == 200
    problem(ann.post(SESSIONS, {"user_id": users["bob"].pk}), 422, "validation")
    problem(ann.post(f"{chat}messages/", {"question": "x", "user_id": users["bob"].pk}), 422, "validation")


def test_citation_of_a_row_that_is_no_longer_visible(ann, chat, users, model):
    model.say("Weekly [1].")
    answer = ann.post(f"{chat}messages/", {"question": ASKED}).json()
    ExternalData.objects.filter(owner=users["ann"]).update(owner=users["bob"])
    problem(ann.get(f"{chat}messages/{answer['id']}/citations/1/"), 404)


def test_lists_have_pages(ann, chat):
    for number in range(3):
        ann.post(SESSIONS, {"title": f"chat {number}"})
    first = ann.get(SESSIONS, limit=3).json()
    assert [each["title"] for each in first["results"]] == ["chat 2", "chat 1", "chat 0"]
    second = ann.get(SESSIONS, limit=3, offset=first["next_offset"]).json()
    assert ([each["title"] for each in second["results"]], second["next_offset"]) == (["Bikes"], None)


def test_delete(ann, chat):
    ann.post(f"{chat}messages/", {"question": ASKED})
    assert ann.client.delete(chat).status_code == 204
    problem(ann.get(chat), 404)


def test_same_key_asks_once(ann, chat, model):
    key = {"Idempotency-Key": "one"}
    first, again = (ann.post(f"{chat}messages/", {"question": ASKED}, **key) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(model.requests) == 1
    problem(ann.post(f"{chat}messages/", {"question": "Another?"}, **key), 422, "idempotency-key")


def test_key_of_a_question_that_is_being_answered(ann, chat, model):
    key = {"Idempotency-Key": "one"}
    ann.post(f"{chat}messages/", {"question": ASKED}, **key)
    ChatMessage.objects.filter(role="assistant").delete()
    response = ann.post(f"{chat}messages/", {"question": ASKED}, **key)
    problem(response, 409, "in-progress")
    assert response.headers["Retry-After"] == "1"
    # Its process has died: the key is free.
    ChatMessage.objects.update(created_at=timezone.now() - timedelta(minutes=16))
    assert ann.post(f"{chat}messages/", {"question": ASKED}, **key).status_code == 200
    assert ChatMessage.objects.filter(role="user").count() == 2


def test_question_that_a_faster_request_asked(ann, chat, model, monkeypatch):
    """Of two requests at once, both of which find no question, the database refuses the slower one."""
    key = {"Idempotency-Key": "one"}
    ann.post(f"{chat}messages/", {"question": ASKED}, **key)
    monkeypatch.setattr("pgknowbase.chat.store.earlier_question", lambda *args: None)
    problem(ann.post(f"{chat}messages/", {"question": ASKED}, **key), 409, "in-progress")
    assert ChatMessage.objects.filter(role="user").count() == 1


def test_failed_answer_frees_the_key(ann, chat, model, monkeypatch):
    def fail(*args, **kwargs):
        raise SearchError("not now: try later")

    key = {"Idempotency-Key": "one"}
    with monkeypatch.context() as patch:
        patch.setattr("pgknowbase.chat.conversation.find_passages", fail)
        problem(ann.post(f"{chat}messages/", {"question": ASKED}, **key), 422, "chat")
    assert ann.post(f"{chat}messages/", {"question": ASKED}, **key).status_code == 200
    assert len(model.requests) == 1


@pytest.mark.parametrize("body", [{}, {"question": ""}, {"question": " "}, {"question": "a\0"}, {"question": 1}, "{"])
def test_bad_questions(ann, chat, body):
    for path in ("messages/", "messages/stream/"):
        assert ann.post(f"{chat}{path}", body).status_code in (400, 422)


def test_bad_paths(ann, chat, library):
    problem(ann.get(f"{SESSIONS}{uuid4()}/"), 404)
    problem(ann.get(f"{SESSIONS}x/"), 422)
    problem(ann.get(f"{chat}messages/{2**70}/citations/1/"), 404)
    problem(ann.get(f"{chat}nothing/"), 404)
    problem(ann.post(SESSIONS, {"title": "a\0"}), 422)
