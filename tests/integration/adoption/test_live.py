"""Adopting and giving back while the application writes, pgai's worker embeds and ours works."""

import itertools
import json
import threading
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connections

from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.core.pgai import load_vectorizer
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import EmbeddingSpace
from pgknowbase.worker import Worker
from tests.integration.adoption.conftest import CHUNKED, work_as_pgai
from tests.projects.press.models import Page

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 40
ANY = "SELECT id FROM press_page ORDER BY random() LIMIT 1"
WORDS = "Some words that take more than one chunk, so that some of them stay and others change. " * 3


@contextmanager
def going_on(*steps):
    """Each step again and again, on a thread of its own; what one raises is raised at the end."""
    ended, failures = threading.Event(), []

    def repeat(step):
        try:
            while not ended.is_set():
                step()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=repeat, args=[step]) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


@pytest.fixture
def writer():
    """Changes, adds and deletes rows, one each time."""
    with psycopg.connect(_conninfo("default"), autocommit=True) as session:
        numbers = itertools.count()
        statements = itertools.cycle(
            [
                f"UPDATE press_page SET text = text || %s WHERE id = ({ANY})",
                "INSERT INTO press_page (id, text) VALUES (gen_random_uuid(), 'New ' || %s)",
                f"DELETE FROM press_page WHERE id = ({ANY}) AND %s <> ''",
            ]
        )
        yield lambda: session.execute(next(statements), [f" written {next(numbers)}"])


def wanted(world):
    ((row,),) = world.sql("SELECT to_jsonb(v)::text FROM ai.vectorizer AS v WHERE name = 'live'")
    chunking = load_vectorizer(row).config.chunking
    return {
        (str(page.pk), place): text
        for page in Page.objects.all()
        for place, text in enumerate(chunking.into_chunks({}, page.text))
    }


def assert_right(rows, wanted):
    """The chunks are the wanted ones, each with the vector of its own text."""
    assert {row[:2]: row[2] for row in rows} == wanted
    texts = [row[2] for row in rows]
    for row, right in zip(rows, get_embedder().embed_documents(texts).vectors, strict=True):
        assert json.loads(row[3]) == pytest.approx(right, abs=1e-4)


def test_nothing_is_missed_or_mixed_up(world, writer, monkeypatch):
    monkeypatch.setattr("pgknowbase.adoption.copying.BATCH_SIZE", 7)
    world.create("live", "press_page", "text", CHUNKED)
    for number in range(ROWS):
        Page.objects.create(text=f"Page {number}. {WORDS}")
    world.work_as_pgai()
    space = EmbeddingSpace.objects.get(is_active=True)
    ours = f'SELECT id, chunk_seq, chunk, embedding::text FROM "{space.store_schema}"."{space.store_table}"'
    theirs = "SELECT id::text, chunk_seq, chunk, embedding::text FROM press_page_embedding_store"

    # Not those of our spaces, as the page says: pgai's worker may leave chunks of a document that goes meanwhile.
    theirs_alone = [row[0] for row in world.sql("SELECT id FROM ai.vectorizer WHERE name = 'live'")]
    with going_on(writer, lambda: work_as_pgai(_conninfo("default"), theirs_alone), lambda: Worker().run_until_idle()):
        report = json.loads(world.command("live", model="press.Page", format="json"))
    Worker().run_until_idle()
    assert report["kept"] > 0  # how many the writer has left alone
    assert_right(world.sql(ours), wanted(world))
    assert world.triggers("press_page") == {"D"}

    with going_on(writer, lambda: Worker().run_until_idle()):
        world.command("live", undo=True)
    for _ in range(50):
        world.work_as_pgai()
        if not world.waiting("live"):  # pgai's worker takes a batch of rows that are gone for the end of its queue
            break
    assert_right(world.sql(theirs), wanted(world))
    Worker().run_until_idle()
    assert_right(world.sql(ours), wanted(world))
