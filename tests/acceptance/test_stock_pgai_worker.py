"""pgai's own worker on our vectorizer, embedding through our server; and our executor on the same queue after it."""

import asyncio
import threading

import pytest
from django.core.management import call_command
from django.db import connection

from benchmarks.embedding_server import EmbeddingServer
from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import Chunk, EmbeddingSpace, ExternalData
from pgknowbase.worker import Worker
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

TEXTS = {"Gzip files": "How to read a compressed file line by line.", "Cooking rice": "Wash the rice, then steam it."}


@pytest.fixture
def served(monkeypatch):
    server = EmbeddingServer(("127.0.0.1", 0), get_embedder())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def run_pgai(served, transactional_db):
    """Let pgai's worker drain every queue once; an error is raised."""

    def run():
        from pgknowbase.core.pgai import disable_tracing

        disable_tracing()
        from pgai.vectorizer import Worker as PgaiWorker

        error = asyncio.run(PgaiWorker(_conninfo("default"), once=True).run())
        assert error is None, error

    yield run
    # Its heartbeat would look like a running worker's for a minute more.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ai.vectorizer_worker_process")


@pytest.fixture
def articles(transactional_db):
    rows = [Article.objects.create(title=title, body=body) for title, body in TEXTS.items()]
    call_command("pgknowbase_worker", relay_only=True, once=True, no_progress=True, verbosity=0)
    return rows


def queued():
    with connection.cursor() as cursor:
        cursor.execute("SELECT queue_schema, queue_table FROM ai.vectorizer")
        ((schema, table),) = cursor.fetchall()
        cursor.execute(f'SELECT count(*) FROM "{schema}"."{table}"')
        return cursor.fetchone()[0]


def statuses():
    return set(ExternalData.objects.values_list("status", "chunk_count"))


def relay():
    return Worker(relay_only=True).run_until_idle()


def test_relay_alone_leaves_objects_pending(articles):
    assert statuses() == {("pending", 0)}
    assert queued() == 2


def test_pgai_worker_embeds_and_relay_settles(articles, run_pgai):
    run_pgai()
    assert queued() == 0
    assert statuses() == {("pending", 0)}
    relay()
    assert statuses() == {("completed", 1)}
    found = list(Article.objects.semantic_search("reading a compressed file", threshold=-1))
    assert [row.title for row in found] == ["Gzip files", "Cooking rice"]
    assert found[0].external_data.processed_at is not None


def test_running_relay_settles_within_seconds(articles, run_pgai):
    run_pgai()
    worker = Worker(relay_only=True)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        for _ in range(500):
            if statuses() == {("completed", 1)}:
                break
            threading.Event().wait(0.01)
    finally:
        worker.stop()
        thread.join()
    assert statuses() == {("completed", 1)}


def test_our_executor_goes_on_after_pgai(articles, run_pgai, drain):
    run_pgai()
    relay()
    before = dict(Chunk.objects.values_list("object_key", "uuid"))
    Article.objects.filter(pk=articles[0].pk).update(body="How to steam rice.")
    Article.objects.create(title="Noodles", body="Boil the noodles.")
    totals = drain()
    assert (totals.documents, totals.embedded) == (2, 2)
    after = dict(Chunk.objects.values_list("object_key", "uuid"))
    untouched = str(articles[1].pk)
    assert after[untouched] == before[untouched]
    assert statuses() == {("completed", 1)}
    assert len(after) == 3
    run_pgai()
    assert dict(Chunk.objects.values_list("object_key", "uuid")) == after


def test_pgai_leaves_what_our_executor_has_on_lease(articles, run_pgai):
    space = EmbeddingSpace.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pgknowbase_queue_claim_v1(%s, 1, 60)", [space.vectorizer_id])
        assert cursor.fetchone() == (1,)
    run_pgai()
    assert Chunk.objects.count() == 1
    relay()
    assert sorted(statuses()) == [("completed", 1), ("processing", 0)]


def test_object_that_changed_is_not_settled(articles, run_pgai):
    run_pgai()
    Article.objects.filter(pk=articles[0].pk).update(body="Changed.")
    relay()
    by_key = dict(ExternalData.objects.values_list("object_key", "status"))
    assert by_key == {str(articles[0].pk): "pending", str(articles[1].pk): "completed"}


def test_changed_row_under_the_settling_statement_stays_pending(articles, run_pgai):
    """Another transaction holds the row while it queues new text: settling neither waits for it nor marks it."""
    import psycopg

    run_pgai()
    with psycopg.connect(_conninfo("default")) as other:
        other.execute("UPDATE pgknowbase_document SET content = 'newer' WHERE id = %s", [str(articles[0].pk)])
        other.execute(
            "UPDATE pgknowbase_externaldata SET content_hash = 'newer' WHERE object_key = %s", [str(articles[0].pk)]
        )
        relay()
        other.commit()
    relay()
    by_key = dict(ExternalData.objects.values_list("object_key", "status"))
    assert by_key == {str(articles[0].pk): "pending", str(articles[1].pk): "completed"}
