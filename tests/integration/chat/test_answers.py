"""Answers: found as the user, cited, bounded, remembered, recorded."""

from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync

from pgknowbase.agents.models import AgentExecution, Status, ToolExecution
from pgknowbase.chat import Answered, Found, Text, ask, astart, start, stream
from pgknowbase.chat.models import ChatMessage
from pgknowbase.chat.retrieval import resolved
from pgknowbase.errors import BudgetExceededError, ChatError, RunFailedError
from pgknowbase.models import ExternalData
from pgknowbase.relay.relay import Relay
from pgknowbase.testing import Fault, ToolCall
from tests.integration.chat.conftest import ASKED, sent
from tests.projects.blog.models import Article

TEXT = "Title: Gears\n\nBody: Gears of ann near 0.9 are oiled weekly."
pytestmark = pytest.mark.django_db(transaction=True)


def test_without_a_model_the_passages_are_the_answer(session):
    answer = ask(session, ASKED)
    assert answer.mode == ChatMessage.Mode.EXTRACTIVE
    assert answer.content.startswith("No language model is configured")
    assert "Gears of ann near 0.9 are oiled weekly. [1]" in answer.content
    assert [each["title"] for each in answer.citations] == ["Gears", ""]
    assert "4711" not in answer.content
    assert (answer.usage.tokens, answer.usage.cost) == (0, 0)
    assert not AgentExecution.objects.exists()


def test_model_answers_and_each_citation_resolves(session, model):
    model.say("Weekly [1]. Bicycles too [2][9].")
    answer = ask(session, ASKED)
    assert answer.content == "Weekly [1]. Bicycles too [2]."
    assert answer.dropped == ["[9]"]
    for citation in answer.citations:
        row = ExternalData.objects.get(object_key=citation["object_key"])
        chunk = row.chunks.get(position=citation["chunk"])
        assert row.content[citation["start"] : citation["end"]] in chunk.text
        assert row.content[citation["start"] : citation["end"]] in sent(model)[1][-1]
    run = AgentExecution.objects.get()
    assert (run.agent_name, run.status, run.user_id) == ("pgknowbase_chat", Status.COMPLETED, session.user_id)
    assert answer.execution == run
    assert answer.usage.tokens == session.usage.tokens == run.tokens_used > 10
    assert answer.usage.cost is None


def test_passages_are_data_in_the_users_message(session, model):
    ask(session, ASKED)
    system, said = sent(model)
    assert "oiled weekly" not in system
    assert "oiled weekly" in said[-1]
    assert said[-1].endswith(f"Question: {ASKED}")
    assert "tools" not in model.requests[0]


def test_nothing_of_others_is_found(session, model, users):
    ask(session, ASKED)
    assert "4711" not in str(model.requests)
    ask(start(users["bob"]), ASKED)
    assert "4711" in str(model.requests[-1])


def test_nothing_relevant_is_no_request(session, model, set_chat):
    set_chat(MIN_SIMILARITY=0.97)
    answer = ask(session, ASKED)
    assert (answer.mode, answer.citations, model.requests) == ("unknown", [], [])
    assert answer.content.startswith("I don't know")


def test_follow_up_is_rewritten_by_the_model(session, model):
    model.say("Weekly [1].", "oiling of gears near 1.0", "With oil [1].")
    ask(session, ASKED)
    answer = ask(session, "And with what?")
    assert answer.search_query == "oiling of gears near 1.0"
    _, said = sent(model, 1)
    assert said[0] == ASKED
    assert said[-1] == "Last question: And with what?"
    assert [each["content"] for each in model.requests[1]["messages"] if each["role"] == "assistant"] == ["Weekly."]
    assert answer.rewriting.agent_name == "pgknowbase_chat_rewrite"
    assert answer.usage.tokens == answer.rewriting.tokens_used + answer.execution.tokens_used
    assert session.usage.tokens == sum(run.tokens_used for run in AgentExecution.objects.all())


def test_follow_up_that_cannot_be_rewritten_gets_the_former_words(session, model):
    ask(session, ASKED)
    model.fail_next(Fault.server_error(400))
    answer = ask(session, "and why?")
    assert answer.search_query == "and why? how near 1 0 are gears"
    assert answer.rewriting.status == Status.FAILED


def test_follow_up_without_a_model_gets_the_former_words_if_that_is_nearer(session, provider):
    provider.vector = lambda text: [1.0 if "gear" in text.lower() else 0.1, 1.0, *[0.0] * 254]
    ask(session, "gears")
    assert ask(session, "why weekly?").search_query == "why weekly? gears"
    provider.vector = lambda text: [1.0, 1.0 if "gears" in text else 0.4, *[0.0] * 254]
    assert ask(session, "new matter").search_query == "new matter"


def test_history_keeps_within_its_budget(session, model, set_chat):
    for number in range(4):
        model.say(*(["near 1.0"] if number else []), f"answer {number} " + "x" * 300)
        ask(session, f"question {number} near 1.0")
    set_chat(HISTORY_TOKENS=250)
    model.say("near 1.0", "last")
    ask(session, "last near 1.0")
    assert [said.partition(" near")[0] for said in sent(model)[1][:-1]] == ["question 2", "question 3"]
    set_chat(HISTORY_TOKENS=0)
    model.say("last")
    ask(session, "last near 1.0")
    assert len(sent(model)[1]) == 1


def test_context_keeps_within_its_budget(session, model, set_chat):
    set_chat(CONTEXT_TOKENS=1)
    ask(session, ASKED)
    assert sent(model)[1][-1].count("<passage number") == 1


def test_cost_is_added_up(session, model):
    for question in (ASKED, ASKED):
        ask(session, question)
    AgentExecution.objects.update(cost="0.5")
    assert session.usage.cost == Decimal("1.5")
    AgentExecution.objects.filter(agent_name="pgknowbase_chat_rewrite").update(cost=None)
    assert session.usage.cost is None


def test_failure_is_stored_and_not_remembered(session, model):
    model.fail_next(Fault.server_error(400))
    with pytest.raises(RunFailedError):
        ask(session, ASKED)
    failed = session.messages.get(role="assistant")
    assert (failed.mode, failed.content, failed.execution.status) == ("failed", "", Status.FAILED)
    ask(session, ASKED)
    assert len(sent(model)[1]) == 1


def test_budget_is_asked_before(session, model, settings):
    agents = {**settings.PGKNOWBASE["AGENTS"], "BUDGET_PER_USER": {"RUNS": 0}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
    with pytest.raises(BudgetExceededError):
        ask(session, ASKED)
    assert model.requests == []


def test_a_tool_that_the_model_makes_up_does_not_run(session, model):
    model.say(ToolCall("query_model", {"model": "auth.User"}), "Sorry.")
    assert ask(session, ASKED).content == "Sorry."
    assert not ToolExecution.objects.filter(status="COMPLETED").exists()


async def test_stream(session, model):
    model.say("It is [1] and [7] true.")
    parts = [part async for part in stream(session, ASKED)]
    assert isinstance(parts[0], Found)
    assert parts[0].query == ASKED
    assert isinstance(parts[-1], Answered)
    text = "".join(part.text for part in parts[1:-1] if isinstance(part, Text))
    assert text == parts[-1].message.content == "It is [1] and true."
    assert parts[-1].message.dropped == ["[7]"]


async def test_reader_who_leaves(session, model):
    model.say("one two three four five six seven " * 40)
    parts = stream(session, ASKED)
    async for part in parts:
        if isinstance(part, Text):
            break
    await parts.aclose()
    row = await session.messages.select_related("execution").aget(role="assistant")
    assert (row.mode, row.execution.status) == ("failed", Status.CANCELLED)


@pytest.mark.parametrize("question", ["", "  ", "a\0b", "\ud800", "x" * 4001])
def test_bad_questions(session, question):
    with pytest.raises(ChatError):
        ask(session, question)
    assert not session.messages.exists()


def test_chat_is_for_users(db):
    with pytest.raises(ChatError, match="sign in"):
        start(None)


def test_row_that_changes_meanwhile_is_not_cited_wrongly(session, model):
    model.say("Weekly [1].")
    (citation,) = ask(session, ASKED).citations
    assert resolved(citation, session.user, around=5) == ("", TEXT, "")
    Article.objects.filter(title="Gears").update(author=None)
    while not Relay().run_once().idle:
        pass
    assert resolved(citation, session.user, around=5) is None


def test_session_begun_in_async_code(users):
    assert async_to_sync(astart)(users["ann"], title="Wheels").title == "Wheels"
