"""What a chat promises: sources that resolve, honesty where nothing is known, history, tokens, and data as data."""

import pytest

from pgknowbase.chat import ask, start, stream
from tests.integration.chat.conftest import (  # noqa: F401
    ASKED,
    _settings,
    index,
    library,
    model,
    provider,
    sent,
    users,
)
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)


def test_citations_resolve_and_others_are_dropped_and_reported(library, users, model):  # noqa: F811
    session = start(users["ann"])
    model.say("Weekly [1], they say [9].")
    answer = ask(session, ASKED)
    assert (answer.content, answer.dropped) == ("Weekly [1], they say.", ["[9]"])
    (cited,) = answer.citations
    article = Article.objects.get(title="Gears")
    assert (cited["model"], cited["object_key"], cited["number"]) == ("blog.Article", str(article.pk), 1)
    assert "oiled weekly" in article.external_data.content[cited["start"] : cited["end"]]
    assert cited["chunk"] == 0
    assert answer.usage.tokens > 0
    assert session.messages.count() == 2
    system, said = sent(model)
    assert "oiled weekly" not in system
    assert "oiled weekly" in said[-1]
    assert "4711" not in str(model.requests)  # of somebody else


def test_nothing_relevant_is_said_so(library, users, model):  # noqa: F811
    answer = ask(start(users["ann"]), "how near -1.0 are gears")
    assert (answer.mode, answer.citations) == ("unknown", [])
    assert answer.content
    assert not model.requests


async def test_stream(library, users, model):  # noqa: F811
    from asgiref.sync import sync_to_async

    model.say("Weekly [1].")
    session = await sync_to_async(start)(users["ann"])
    kinds = [type(part).__name__ async for part in stream(session, ASKED)]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("Found", "Answered", {"Text"})
