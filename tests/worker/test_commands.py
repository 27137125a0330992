"""What the commands print and do."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pgknowbase import gateway
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.spaces import active_space
from tests.blog.models import Article, Manual, Note, Slug

pytestmark = pytest.mark.django_db


def run(*arguments, **options):
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO(), verbosity=0, **options)
    return out.getvalue()


@pytest.fixture(autouse=True)
def empty_outbox(db):
    OutboxEvent.objects.all().delete()


def test_sync_brings_existing_rows_and_removes_what_is_gone():
    Article.objects.bulk_create([Article(title=f"a{n}") for n in range(7)])
    Manual.objects.create(name="by hand")
    OutboxEvent.objects.all().delete()
    out = run("sync_external_models", "--batch-size", "3")
    assert ExternalData.objects.count() == 8
    assert [line.split()[:3] for line in out.splitlines()][2:6] == [
        ["blog.Article", "7", "0"],
        ["blog.Note", "0", "0"],
        ["blog.Slug", "0", "0"],
        ["blog.Manual", "1", "0"],
    ]
    Article.objects.filter(title="a3").delete()
    OutboxEvent.objects.all().delete()
    out = run("sync_external_models", "blog.article", "--batch-size", "2")
    assert out.splitlines()[2].split()[:7] == ["blog.Article", "0", "0", "0", "6", "1", "0"]


def test_sync_dry_run_counts_and_writes_nothing():
    Slug.objects.create(key="k", text="t")
    assert run("sync_external_models", "blog.Slug", dry_run=True).splitlines()[2].split() == ["blog.Slug", "1"]
    assert not ExternalData.objects.exists()


def test_sync_goes_on_after_a_failure_and_tells_it():
    Note.notes.create(text="good")
    Note.notes.create(text="explode")
    Note.notes.create(text="badquery")
    with pytest.raises(CommandError, match="2 rows failed"):
        run("sync_external_models", "blog.Note")
    assert ExternalData.objects.filter(status="pending").count() == 1


def test_sync_of_an_unknown_model():
    with pytest.raises(CommandError, match=r"'blog.Category' is no source model: use one of blog.Article"):
        run("sync_external_models", "blog.Category")


def test_status_as_table_and_json():
    Article.objects.create(title="a")
    table = run("pgknowbase_status")
    assert "blog.article" in table
    status = json.loads(run("pgknowbase_status", format="json"))
    assert status["space"]["model"] == "wordllama-256"
    (source,) = status["sources"]
    assert (source["source"], source["total"], source["outbox"]) == ("blog.article", 0, 1)
    run("pgknowbase_worker", once=True)
    (source,) = json.loads(run("pgknowbase_status", format="json"))["sources"]
    assert (source["total"], source["completed"], source["outbox"], source["chunks"]) == (1, 1, 0, 1)


def test_worker_refuses_another_space_than_the_active_one(settings):
    static = "pgknowbase.embeddings.static.StaticEmbedder"
    embeddings = {"default": {"BACKEND": static, "DIMENSIONS": 128, "MODEL": "wordllama-128"}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": embeddings}
    with pytest.raises(CommandError, match=r"dimensions is 256, the settings say 128.*pgknowbase_space rebuild"):
        run("pgknowbase_worker", once=True)
    before = active_space("default").pk
    Article.objects.create(title="a", body="b")
    assert "wordllama-128" in run("pgknowbase_space", "list")
    run("pgknowbase_space", "rebuild", yes=True)
    assert active_space("default").pk != before
    assert active_space("default").dimensions == 128
    run("pgknowbase_worker", once=True)
    assert Article.objects.semantic_search("b", threshold=-1).count() == 1


def test_another_backend_of_the_same_vectors_is_accepted(settings):
    entry = {**settings.PGKNOWBASE["EMBEDDINGS"]["default"], "BACKEND": "tests.fakes.RecordingEmbedder"}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": entry}}
    run("pgknowbase_space", "accept")
    assert active_space("default").backend == "tests.fakes.RecordingEmbedder"
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": {**entry, "MODEL": "other"}}}
    with pytest.raises(CommandError, match="model is 'wordllama-256'"):
        run("pgknowbase_space", "accept")


def test_once_says_what_another_worker_has():
    Article.objects.create(title="a", body="b")
    Relay().run_once()
    gateway.fetch("default", gateway.QUEUE_CLAIM, active_space("default").vectorizer_id, 10, 60.0, None, None)
    out = run("pgknowbase_worker", once=True)
    assert "0 documents indexed" in out
    assert "1 documents are not due yet" in out
    assert "lets go of them after 120 s" in out
