"""What the commands print and do."""

import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import sys
import termios
from contextlib import suppress
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from pgknowbase.core import gateway
from pgknowbase.models import ExternalData, OutboxEvent, RenderCost, WorkerHeartbeat
from pgknowbase.operations import status
from pgknowbase.operations.status import ModelIntegrationStatus, SourceStatus
from pgknowbase.relay import hook_costs
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from pgknowbase.worker.heartbeat import Heartbeat
from tests.projects.blog.models import Article, Manual, Note, Slug

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
    assert ExternalData.objects.count() == 7
    assert [line.split()[:3] for line in out.splitlines()][2:6] == [
        ["blog.Article", "7", "0"],
        ["blog.Note", "0", "0"],
        ["blog.Slug", "0", "0"],
        ["shapes.Essay", "0", "0"],
    ]
    out = run("sync_external_models", "blog.Manual")
    assert out.splitlines()[2].split()[:2] == ["blog.Manual", "1"]
    Article.objects.filter(title="a3").delete()
    OutboxEvent.objects.all().delete()
    out = run("sync_external_models", "blog.article", "--batch-size", "2")
    assert out.splitlines()[2].split()[:7] == ["blog.Article", "0", "0", "0", "6", "1", "0"]


def test_sync_says_which_models_it_left_out():
    errors = StringIO()
    call_command("sync_external_models", stdout=StringIO(), stderr=errors, verbosity=0)
    assert "since auto_sync is False: blog.Manual" in errors.getvalue()


def test_an_interrupted_sync_says_how_to_continue(monkeypatch, request):
    """SIGINT arrives while the fifth of seven rows is rendered, in the second batch of three."""
    Article.objects.bulk_create([Article(title=f"a{n}") for n in range(7)])
    Slug.objects.create(key="k", text="t")
    OutboxEvent.objects.all().delete()
    title = Article.get_external_title

    def interrupted(self):
        if self.title == "a4":
            os.kill(os.getpid(), signal.SIGINT)
        return title(self)

    out = StringIO()
    # A shell starts what runs in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with monkeypatch.context() as patch:
        patch.setattr(Article, "get_external_title", interrupted)
        with pytest.raises(CommandError, match="Continue with") as stopped:
            call_command("sync_external_models", "blog.Article", "blog.Slug", batch_size=3, stdout=out, verbosity=0)
    assert stopped.value.returncode == 130
    assert out.getvalue().splitlines()[2].split()[:2] == ["blog.Article", "3"]
    assert ExternalData.objects.count() == 3
    again = str(stopped.value).splitlines()[1]
    assert shlex.split(again)[:4] == ["manage.py", "sync_external_models", "blog.Article", "blog.Slug"]
    lines = run(*shlex.split(again)[1:]).splitlines()
    assert [line.split()[:5] for line in lines[2:]] == [
        ["blog.Article", "4", "0", "0", "0"],
        ["blog.Slug", "1", "0", "0", "0"],
    ]
    assert ExternalData.objects.count() == 8


@pytest.mark.parametrize("wrong", [{"models": []}, {"check": True}, {"dry_run": True}, {"repair": True}])
def test_after_is_for_one_way_of_syncing(wrong):
    with pytest.raises(CommandError, match="--after needs the name of a model"):
        run("sync_external_models", *wrong.pop("models", ["blog.Slug"]), after="1", **wrong)


def test_after_takes_a_primary_key():
    with pytest.raises(CommandError, match=r"'x' is not a primary key of 'blog.Article'"):
        run("sync_external_models", "blog.Article", after="x")


@pytest.mark.parametrize("columns", [5, 20, 80, 300])
def test_progress_shows_on_a_terminal_of_any_width(columns, monkeypatch):
    Slug.objects.bulk_create([Slug(key=str(n), text="t") for n in range(4)])
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        call_command("sync_external_models", "blog.Slug", stdout=StringIO(), verbosity=1)
    shown = b""
    # The terminal hands on what was written in portions, and fails once it is closed and has no more.
    with suppress(OSError):
        while portion := os.read(ours, 65_536):
            shown += portion
    os.close(ours)
    shown = shown.decode()
    assert "100%" in shown
    assert ("4/4" in shown) == (columns >= 20)
    assert all(len(line) <= columns for line in re.split(r"[\r\n]+", shown))


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
    with pytest.raises(CommandError, match=r"'blog.Category' is not a source model: use one of blog.Article"):
        run("sync_external_models", "blog.Category")


def test_status_as_table_and_json():
    Article.objects.create(title="a")
    table = run("pgknowbase_status")
    assert "blog.Article" in table
    found = json.loads(run("pgknowbase_status", format="json"))
    assert found["space"]["model"] == "wordllama-256"
    source, *others = found["sources"]
    assert (source["source"], source["total"], source["outbox"]) == ("blog.article", 0, 1)
    others = [other for other in others if other["model_name"].startswith("blog.")]
    assert [other["model_name"] for other in others] == ["blog.Note", "blog.Slug", "blog.Manual"]
    assert [other["sync_enabled"] for other in others] == [True, True, False]
    assert ModelIntegrationStatus.model_validate(source) == ModelIntegrationStatus(
        model_name="blog.Article",
        total_instances=1,
        synced_instances=0,
        pending_sync=1,
        last_sync=None,
        sync_enabled=True,
    )
    run("pgknowbase_worker", once=True)
    source, *_ = json.loads(run("pgknowbase_status", format="json"))["sources"]
    assert (source["total"], source["completed"], source["outbox"], source["chunks"]) == (1, 1, 0, 1)
    assert (source["synced_instances"], source["pending_sync"], source["lag_seconds"]) == (1, 0, 0)
    assert source["embedded_last_minute"] == 1
    assert source["last_sync"] == source["last_processed"] is not None


@pytest.mark.django_db(transaction=True)
def test_status_shows_what_rendering_costs():
    assert "rendering" not in run("pgknowbase_status")
    Article.objects.bulk_create([Article(title=f"a{n}") for n in range(6)])
    hook_costs.forget()
    run("pgknowbase_worker", once=True)
    source, *_ = json.loads(run("pgknowbase_status", format="json"))["sources"]
    assert source["ms_per_row"] > 0
    assert source["statements_per_row"] == pytest.approx(1 / 6)
    assert source["slowest_hook"].startswith("get_external_") or source["slowest_hook"].startswith("should_")
    assert source["querying_hook"] == ""
    RenderCost.objects.update(querying_hook="get_external_tags")
    assert "get_external_tags queries for each row" in run("pgknowbase_status")


def test_status_shows_rows_that_the_index_does_not_know():
    Manual.objects.create(name="never synced")
    sources = {one["model_name"]: one for one in json.loads(run("pgknowbase_status", format="json"))["sources"]}
    manual = sources["blog.Manual"]
    assert (manual["total_instances"], manual["total"], manual["estimated"]) == (1, 0, False)


def test_status_estimates_big_tables(monkeypatch):
    monkeypatch.setattr(status, "MAX_COUNTED_ROWS", 3)
    Article.objects.bulk_create([Article(title=f"a{n}") for n in range(5)])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET reltuples = 7 WHERE oid = 'blog_article'::regclass")
    source, *_ = json.loads(run("pgknowbase_status", format="json"))["sources"]
    assert (source["total_instances"], source["estimated"]) == (7, True)
    assert "about 7" in run("pgknowbase_status")


def test_lag_is_the_age_of_the_oldest_thing_that_waits():
    def lag():
        return json.loads(run("pgknowbase_status", format="json"))["sources"][0]["lag_seconds"]

    assert lag() == 0
    Article.objects.create(title="a")
    OutboxEvent.objects.update(created_at=timezone.now() - timedelta(seconds=500))
    assert 500 <= lag() < 560
    Relay().run_once()
    assert lag() < 60
    ExternalData.objects.update(updated_at=timezone.now() - timedelta(seconds=300))
    assert 300 <= lag() < 360
    run("pgknowbase_worker", once=True)
    assert lag() == 0


def test_throughput_is_of_the_last_minute():
    Article.objects.bulk_create([Article(title=f"a{n}") for n in range(5)])
    run("pgknowbase_worker", once=True)
    old = ExternalData.objects.order_by("pk").values_list("pk", flat=True)[:2]
    ExternalData.objects.filter(pk__in=list(old)).update(processed_at=timezone.now() - timedelta(seconds=90))
    assert json.loads(run("pgknowbase_status", format="json"))["sources"][0]["embedded_last_minute"] == 3


def test_status_lists_the_workers():
    assert "No worker is running." in run("pgknowbase_status")
    heart = Heartbeat("default", WorkerHeartbeat.Role.BOTH, lambda: (4, 3, 2))
    heart.beat()
    WorkerHeartbeat.objects.update(beat_at=timezone.now() - timedelta(seconds=7), lease=timezone.now())
    (worker,) = json.loads(run("pgknowbase_status", format="json"))["workers"]
    assert 7 <= worker["heartbeat_age"] < 30
    assert (worker["role"], worker["busy"], worker["events"], worker["documents"], worker["failed"]) == (
        "both",
        True,
        4,
        3,
        2,
    )
    assert f"{worker['host']}  " in run("pgknowbase_status")


def test_status_is_plain_numbers_for_exporters():
    Article.objects.create(title="a")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM pgknowbase_status")
        numbers = {
            column.name
            for column, value in zip(cursor.description, cursor.fetchone(), strict=True)
            if type(value) in {int, float}
        }
    assert numbers == set(SourceStatus.model_fields) - set(ModelIntegrationStatus.model_fields) - {
        "source",
        "unavailable",
        "estimated",
        "unindexed",
        "oldest_pending",
        "last_processed",
        "ms_per_row",
        "statements_per_row",
        "slowest_hook",
        "querying_hook",
    }


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
    gateway.fetch(
        "default",
        "queue_claim",
        vectorizer=active_space("default").vectorizer_id,
        max_items=10,
        lease_seconds=60.0,
        only_source=None,
        only_id=None,
        worker=None,
        fresh_only=False,
        marked=True,
    )
    out = run("pgknowbase_worker", once=True)
    assert "0 documents indexed" in out
    assert "1 documents are not due yet" in out
    assert "releases them after 15 s" in out
