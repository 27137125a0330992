"""``pgknowbase_dead_letters`` lists dead letters and failed objects, and retries them."""

import json
from io import StringIO

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection

from pgknowbase.management.commands import pgknowbase_dead_letters
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def notes(db, worker_settings):
    """A dead letter, and one that failed later and is due again."""
    OutboxEvent.objects.all().delete()
    dead = Note.notes.create(text="explode for good")
    worker_settings(RETRY={"MAX_ATTEMPTS": 1})
    Relay().run_once()
    worker_settings(RETRY={"MAX_ATTEMPTS": 8, "DELAY": 60})
    due = Note.notes.create(text="explode once")
    Note.notes.create(text="calm")
    Relay().run_once()
    return dead, due


def run(*arguments):
    out = StringIO()
    call_command("pgknowbase_dead_letters", *arguments, stdout=out)
    return out.getvalue()


def correct():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_note SET text = 'corrected'")
    OutboxEvent.objects.all().delete()


def test_nothing_failed():
    assert run() == "Nothing has failed.\n"


def test_table(notes):
    lines = run().splitlines()
    assert lines[0].split() == ["model", "object_key", "attempts", "due", "error"]
    assert [line.split()[1] for line in lines[2:]] == [str(note.pk) for note in notes]
    assert lines[2].split()[2:5] == ["1", "dead", "RuntimeError:"]
    assert lines[3].split()[3].startswith("20")


def test_json(notes):
    told = json.loads(run("--format", "json", "blog.Note"))
    assert told["retried"] is None
    assert [entry["object_key"] for entry in told["failed"]] == [str(note.pk) for note in notes]
    assert told["failed"][0] == {
        "model": "blog.Note",
        "object_key": str(notes[0].pk),
        "attempts": 1,
        "due": None,
        "error": "RuntimeError: told to explode (in get_external_content)",
    }


def test_retry(notes):
    assert run("--retry").splitlines()[0] == "2 retried: 0 rendered, 2 failed again."
    assert [note.external_data.attempts for note in notes] == [2, 2]
    correct()
    assert run("--retry") == "2 retried: 2 rendered, 0 failed again.\nNothing has failed.\n"
    assert {note.external_data.status for note in notes} == {"pending"}
    assert json.loads(run("--retry", "--format", "json"))["retried"]["failed"] == 0


def test_of_some_models(notes):
    correct()
    assert run("blog.Article") == "Nothing has failed.\n"
    assert run("blog.article", "--retry").startswith("0 retried")
    assert run("blog.Article", "blog.note", "--retry").startswith("2 retried")
    with pytest.raises(CommandError, match=r"'blog.Category' is not a source model"):
        run("blog.Category")


def test_what_the_provider_refused_is_queued_again(notes):
    article = Article.objects.create(title="t")
    article.sync_to_external_data()
    ExternalData.objects.filter(title="t").update(status="failed", error="refused")
    assert "refused" in run("blog.Article")
    assert run("blog.Article", "--retry").startswith("1 retried: 1 rendered")
    assert article.external_data_status == "pending"


def test_model_that_is_gone(db):
    gone = ContentType.objects.create(app_label="gone", model="thing")
    ExternalData.objects.create(content_type=gone, object_key="7", status="failed", error="once")
    assert "gone.thing" in run()
    assert "1 belong to no source model of this project" in run("--retry")


def test_long_lists_are_cut(notes, monkeypatch):
    monkeypatch.setattr(pgknowbase_dead_letters, "MAX_TABLE_ROWS", 1)
    assert run().splitlines()[3] == "... and more; '--format json' lists all 2."
