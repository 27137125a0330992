"""Drafts that are analysed after they were committed, whoever wrote them, with a language model and without."""

import copy
import dataclasses

import pytest
from django.core.management import call_command
from django.urls import reverse

from demo.library.agents import make_summariser
from demo.library.analysis import analyse
from demo.library.loading import load_records
from demo.library.models import Draft
from demo.library.reactions import analyse_draft
from demo.library.tour.psql import run_psql
from pgknowbase.agents import registry as agents
from pgknowbase.agents.models import AgentExecution
from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.reactions import registry
from pgknowbase.testing import ChatProvider, ToolCall, drain
from tests.acceptance.demo.test_demo_site import DJANGO, PYTHON

BODY = (
    "The log is an archive. It is a compressed archive, which you read line by line. So it is that the memory is small."
)
INSERT = "INSERT INTO library_draft (title, body) VALUES (:'title', :'body');"


@pytest.fixture
def indexed(transactional_db):
    load_records("python", PYTHON)
    load_records("django", DJANGO)
    call_command("pgknowbase_worker", once=True)


@pytest.fixture
def model(settings, monkeypatch):
    """The reaction as it is where a language model is configured."""
    with ChatProvider() as model:
        said = {"summary": "Of logs.", "keywords": ["logs"]}
        model.answer = lambda body: ToolCall(body["tools"][0]["function"]["name"], said)
        options = {"PROVIDERS": {"local": model.settings()}, "MODEL": "local:any"}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": options}
        monkeypatch.setattr(agents, "agents", copy.copy(agents.agents))
        agent = make_summariser(analyse_draft)
        declared = [
            dataclasses.replace(each, target=agent) if each.name == "library.analyse_draft" else each
            for each in registry._declared
        ]
        monkeypatch.setattr(registry, "_declared", declared)
        yield model


def test_draft_that_psql_inserts(indexed):
    run_psql(INSERT, title="Compressed logs", body=BODY)
    drain()
    draft = Draft.objects.get()
    assert draft.related[0] == "zips.read"
    assert draft.summary == "It is a compressed archive, which you read line by line."
    assert {"logs", "archive"} <= {*draft.keywords}
    assert not {"the", "is", "which"} & {*draft.keywords}
    assert (draft.language, draft.analysed_by) == ("english", "words and vectors")
    assert 60 < draft.reading_ease < 110
    assert draft.analysed_at
    assert not ReactionEvent.objects.exists()


def test_draft_that_is_written_again(indexed):
    draft = Draft.objects.create(title="Compressed logs", body=BODY)
    drain()
    first = Draft.objects.get().analysed_at
    Draft.objects.update(analysed_by="somebody")
    drain()
    assert Draft.objects.get().analysed_at == first
    Draft.objects.filter(pk=draft.pk).update(body="Frobnicate the widget of a web page.")
    drain()
    assert Draft.objects.get().related[0] == "frames.frobnicate"


def test_draft_with_a_language_model(indexed, model):
    run_psql(INSERT, title="Compressed logs", body=BODY)
    drain()
    draft = Draft.objects.get()
    assert (draft.summary, draft.keywords, draft.analysed_by) == ("Of logs.", ["logs"], "local:any")
    assert draft.related[0] == "zips.read"
    assert AgentExecution.objects.get().idempotency_key == str(Delivery.objects.get().idempotency_key)
    assert "compressed archive" in str(model.requests[0]["messages"])


@pytest.mark.parametrize(
    "body", ["", " \n", "…!?", "ein Satz der in einem Index von Python nicht ist und auch das", "x" * 9000]
)
def test_any_text_can_be_analysed(db, body):
    found = analyse("T", body)
    assert found.related == []
    assert found.summary == " ".join(body.split())


def test_admin(admin_client):
    draft = Draft.objects.create(title="Logs", body=BODY)
    assert b"Logs" in admin_client.get(reverse("admin:library_draft_changelist"), {"q": "log"}).content
    assert admin_client.get(reverse("admin:library_draft_change", args=[draft.pk])).status_code == 200
