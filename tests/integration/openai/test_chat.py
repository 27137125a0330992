"""The chat as a completion, asked by OpenAI's client of Python under WSGI and ASGI."""

import asyncio
import json
import threading

import httpx2
import openai
import pytest

from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.api.streams import open_streams
from pgknowbase.chat import start
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.openai.completions import finish_reason
from pgknowbase.testing import Fault
from tests.integration.chat.conftest import ASKED
from tests.integration.chat.conftest import sent as sent_to
from tests.integration.openai.conftest import CHAT, said, token_of, wait_until
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann(client_of, library, users):
    return client_of(users["ann"], "chat")


def cited(content, annotations):
    """(marker in the text, address) of each citation."""
    found = [each["url_citation"] for each in annotations]
    return [(content[each["start_index"] : each["end_index"]], each["url"]) for each in found]


def test_answer(ann, model, users, site, pages):
    model.say("Weekly [1], and `x[2]` [9][2].")
    answer = ann.chat.completions.create(model=CHAT, messages=[said(ASKED)])
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("Weekly [1], and `x[2]`[2].", "stop")
    article = Article.objects.get(title="Gears")
    annotations = [each.model_dump() for each in choice.message.annotations]
    (first, page), (second, uri) = cited(choice.message.content, annotations)
    assert (first, page, second) == ("[1]", f"{site}/articles/{article.pk}/", "[2]")
    assert uri.startswith("pgknowbase:///blog.Note/")  # it has no page
    assert annotations[0]["url_citation"]["title"] == "Gears"
    assert annotations[0]["url_citation"]["id"] == f"blog.Article:{article.pk}"
    run = AgentExecution.objects.get()
    assert (run.user, run.status) == (users["ann"], Status.COMPLETED)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (run.input_tokens, run.output_tokens)
    assert answer.usage.total_tokens == run.tokens_used > 0
    assert answer.usage.cost is None
    assert not ChatMessage.objects.exists()
    assert "4711" not in str(model.requests)  # that is bob's


def test_stream(ann, model, site, pages):
    model.say("Weekly they are oiled [1].")
    asked = {"model": CHAT, "messages": [said(ASKED)], "stream": True}
    with ann.chat.completions.create(**asked, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    first, *middle, end, usage = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    pieces = [chunk.choices[0].delta.content for chunk in middle if chunk.choices[0].delta.content]
    assert "".join(pieces) == "Weekly they are oiled [1]."
    (annotations,) = [found for chunk in middle if (found := getattr(chunk.choices[0].delta, "annotations", None))]
    ((marker, url),) = cited("".join(pieces), annotations)
    assert (marker, url) == ("[1]", f"{site}/articles/{Article.objects.get(title='Gears').pk}/")
    assert end.choices[0].finish_reason == "stop"
    assert (usage.choices, usage.usage.total_tokens) == ([], AgentExecution.objects.get().tokens_used)
    assert {chunk.id for chunk in chunks} == {first.id}
    with ann.chat.completions.create(**asked) as stream:
        assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_bytes_of_a_stream(ann, model, site):
    body = {"model": CHAT, "messages": [said(ASKED)], "stream": True}
    with httpx2.Client(timeout=120) as http:
        response = http.post(f"{site}/v1/chat/completions", json=body, headers=dict(ann.auth_headers))
    assert response.headers["Content-Type"] == "text/event-stream"
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: ")) for event in events[:-2])


def test_passages_where_there_is_no_language_model(ann, users):
    """Brackets within a passage are not markers."""
    answer = ann.chat.completions.create(model=CHAT, messages=[said(ASKED)])
    content = answer.choices[0].message.content
    found = cited(content, [each.model_dump() for each in answer.choices[0].message.annotations])
    assert [marker for marker, _ in found] == ["[1]", "[2]"]
    assert "Gears of ann" in content
    assert "4711" not in content
    assert answer.usage.model_dump() == {**answer.usage.model_dump(), "total_tokens": 0, "cost": 0.0}


def test_brackets_within_passages(client_of, users, index):
    Article.objects.create(title="[1]", body="See [1] and [2], near 0.9 or so.", author=users["ann"])
    index()
    answer = client_of(users["ann"]).chat.completions.create(model=CHAT, messages=[said(ASKED)])
    content = answer.choices[0].message.content
    (annotation,) = answer.choices[0].message.annotations
    assert annotation.url_citation.end_index == len(content)
    assert content[annotation.url_citation.start_index :] == "[1]"


def test_nothing_is_known(ann, model):
    answer = ann.chat.completions.create(model=CHAT, messages=[said("what is near -1.0")])
    assert answer.choices[0].message.content.startswith("I don't know")
    assert (answer.choices[0].message.annotations, model.requests) == ([], [])


def test_conversation_of_the_client(ann, model):
    model.say("how near 1.0 are the gears of ann", "Weekly [1].")
    messages = [
        said("Answer in one word.", "system"),
        said("You are near 0.5 polite.", "developer"),
        said("Good morning!", "assistant"),
        said([{"type": "text", "text": "What are gears?"}, {"type": "text", "text": "In short."}]),
        said("Wheels [3].", "assistant"),
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "1", "content": "noise"},
        said("And who oils them?"),
    ]
    answer = ann.chat.completions.create(model=CHAT, messages=messages)
    assert answer.choices[0].message.content == "Weekly [1]."
    rewriting, answering = AgentExecution.objects.order_by("created_at")
    assert answer.usage.total_tokens == rewriting.tokens_used + answering.tokens_used
    system, asked = sent_to(model)
    assert "Answer in one word." in system
    assert "You answer questions from passages" in system
    assert asked[0] == "What are gears?\nIn short."
    assert asked[-1].endswith("Question: And who oils them?")
    assert "noise" not in str(model.requests)


def test_history_is_bounded(ann, model, set_chat):
    set_chat(HISTORY_TOKENS=30)
    turns = [each for number in range(50) for each in (said(f"q{number}"), said(f"a{number}", "assistant"))]
    ann.chat.completions.create(model=CHAT, messages=[*turns, said(ASKED)])
    assert "q49" in str(model.requests[0]["messages"])
    assert "q20" not in str(model.requests[0]["messages"])


def test_settings_of_the_language_model(ann, model):
    options = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 77, "stop": "END", "seed": 3, "presence_penalty": 0.1}
    ann.chat.completions.create(model=CHAT, messages=[said(ASKED)], **options)
    asked = model.requests[0]
    assert (asked["temperature"], asked["top_p"], asked["seed"], asked["presence_penalty"]) == (0.5, 0.9, 3, 0.1)
    assert (asked.get("max_completion_tokens") or asked["max_tokens"], asked["stop"]) == (77, ["END"])


def test_finish_reasons():
    for given, told in (("length", "length"), ("content_filter", "content_filter"), ("stop", "stop"), (None, "stop")):
        assert finish_reason(AgentExecution(messages=[{"finish_reason": given}])) == told
    assert finish_reason(None) == finish_reason(AgentExecution(messages=[])) == "stop"


def test_session_of_the_caller(ann, model, users):
    session = start(users["ann"])
    model.say("Weekly [1].")
    metadata = {"chat_session": str(session.pk)}
    ann.chat.completions.create(model=CHAT, messages=[said(ASKED)], metadata=metadata, temperature=0.25)
    assert [message.role for message in session.messages.all()] == ["user", "assistant"]
    assert model.requests[0]["temperature"] == 0.25
    for other in (str(start(users["bob"]).pk), "00000000-0000-0000-0000-000000000000", "x"):
        with pytest.raises(openai.NotFoundError) as refused:
            ann.chat.completions.create(model=CHAT, messages=[said(ASKED)], metadata={"chat_session": other})
        assert refused.value.param == "metadata.chat_session"
    assert ChatSession.objects.get(user=users["bob"]).messages.count() == 0


def test_nobody_is_who_a_field_says(ann, model, users):
    bob = str(users["bob"].pk)
    more = {"user_id": bob, "deps": {"user_id": bob}, "acting_as": bob}
    metadata = {"user": bob, "user_id": bob}
    headers = {"X-User": bob, "X-OpenWebUI-User-Id": bob, "OpenAI-Organization": bob}
    ann.chat.completions.create(
        model=CHAT, messages=[said(ASKED)], user=bob, metadata=metadata, extra_body=more, extra_headers=headers
    )
    assert AgentExecution.objects.get().user == users["ann"]
    assert "4711" not in str(model.requests)


def test_provider_that_fails(ann, model, site):
    model.fail_always(Fault.server_error(400))
    with pytest.raises(openai.InternalServerError) as refused:
        ann.chat.completions.create(model=CHAT, messages=[said(ASKED)])
    assert (refused.value.status_code, refused.value.type, refused.value.code) == (502, "server_error", "no_answer")
    assert "told to" not in str(refused.value)
    with (
        pytest.raises(openai.APIError) as refused,
        ann.chat.completions.create(model=CHAT, messages=[said(ASKED)], stream=True) as stream,
    ):
        list(stream)
    assert (refused.value.type, refused.value.code) == ("server_error", "no_answer")


def test_budget(ann, model, settings):
    agents = {**settings.PGKNOWBASE["AGENTS"], "BUDGET_PER_USER": {"RUNS": 0}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
    with pytest.raises(openai.RateLimitError) as refused:
        ann.with_options(max_retries=5).chat.completions.create(model=CHAT, messages=[said(ASKED)])
    assert (refused.value.type, refused.value.code) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.response.headers["X-Should-Retry"] == "false"


def is_cancelled():
    return AgentExecution.objects.filter(status=Status.CANCELLED).count() == 1


def test_client_that_goes_in_mid_stream(ann, model):
    model.answer = lambda body: "word " * 20_000
    with ann.chat.completions.create(model=CHAT, messages=[said(ASKED)], stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    wait_until(is_cancelled)
    wait_until(lambda: not open_streams._open)


def test_client_that_goes_before_the_answer(asgi, settings, library, users, model):
    """Under ASGI whoever leaves cancels a run whose answer was to come in one piece."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    key = token_of(users["ann"], "chat")
    model.fail_always(Fault("good", seconds=300))

    async def leave(**more):
        async with openai.AsyncOpenAI(base_url=f"{asgi}/v1", api_key=key, max_retries=0) as client:
            asking = asyncio.create_task(client.chat.completions.create(model=CHAT, messages=[said(ASKED)], **more))
            while not model.requests:
                await asyncio.sleep(0.02)
            asking.cancel()
            await asyncio.wait({asking})

    for more in ({}, {"stream": True}):
        asyncio.run(leave(**more))
        wait_until(is_cancelled)
        AgentExecution.objects.all().delete()
        model.requests.clear()
    wait_until(lambda: not open_streams._open)


def test_streams_of_a_caller_are_bounded(ann, model, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {**settings.PGKNOWBASE["API"], "MAX_STREAMS": 1}}
    refused_all = threading.Event()
    model.answer = lambda body: "word " * 20_000 if refused_all.wait(120) else ""
    asked = {"model": CHAT, "messages": [said(ASKED)]}
    with ann.chat.completions.create(**asked, stream=True) as stream:
        next(iter(stream))
        for more in ({"stream": True}, {}):
            with pytest.raises(openai.RateLimitError) as refused:
                ann.chat.completions.create(**asked, **more)
            assert refused.value.code == "rate_limit_exceeded"
    refused_all.set()
    wait_until(lambda: not open_streams._open)
