"""Races, each made to happen: one side stops while the other acts."""

import math
import threading
import time

import pytest
from django.db import connection, connections, transaction

from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent
from pgknowbase.operations.drift import check
from pgknowbase.relay.relay import Relay
from pgknowbase.sources.registry import source_of
from pgknowbase.sync.backfill import sync_keys
from pgknowbase.testing import LexicalEmbedder, assert_in_sync, drain, make_due
from pgknowbase.vectorizer.executor import Executor
from tests.projects.press.models import Slip
from tests.reliability.oracle import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Barrier:
    """Whoever comes to ``stop`` on the side's thread waits there until ``go``."""

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()
        self.side = None
        self.fault = None

    def stop(self):
        if threading.current_thread() is self.side or threading.current_thread().name.startswith("pgknowbase-embed"):
            self.reached.set()
            assert self.released.wait(30)

    def start(self, call):
        """Run ``call`` on the side's thread up to the barrier."""

        def run():
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - raised again by go()
                self.fault = error
            finally:
                connections.close_all()

        self.side = threading.Thread(target=run, daemon=True)
        self.side.start()
        assert self.reached.wait(30)

    def go(self):
        """Let the side go on, to its end."""
        self.released.set()
        self.side.join(30)
        assert not self.side.is_alive()
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def rendering(monkeypatch):
    """A relay that stops after it has read its rows and before it writes them."""
    barrier = Barrier()
    plain = Slip.get_external_content

    def content(row):
        barrier.stop()
        return plain(row)

    monkeypatch.setattr(Slip, "get_external_content", content)
    drain()
    return barrier


@pytest.fixture
def embedding():
    """An executor that stops over its provider call."""
    barrier = Barrier()
    drain()

    class Slow(LexicalEmbedder):
        def embed_documents(self, texts):
            barrier.stop()
            return super().embed_documents(texts)

    def run():
        with Executor() as executor:
            executor.embedder = Slow(dimensions=256)
            unchecked(executor).run_once()

    barrier.run = run
    return barrier


def unchecked(executor):
    """Its vectors are those of another model than the space's."""
    executor._model._due_at = math.inf
    return executor


def on_thread(call):
    def run():
        try:
            call()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def await_lock():
    deadline = time.monotonic() + 30
    while not rows(WAITING):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def relay():
    while not Relay().run_once().idle:
        pass


def settle():
    make_due()
    drain()
    assert not difference()
    assert_in_sync(Slip)
    assert not OutboxEvent.objects.exists()
    assert not ExternalData.objects.exclude(status="completed").exists()


# Embedding


def test_row_deleted_during_embedding(embedding):
    slip = Slip.objects.create(key="k", text="old")
    relay()
    embedding.start(embedding.run)
    slip.delete()
    relay()
    embedding.go()
    assert not Chunk.objects.exists()
    settle()
    assert not ExternalData.objects.exists()


def test_newer_version_during_embedding(embedding):
    Slip.objects.create(key="k", text="old")
    relay()
    embedding.start(embedding.run)
    Slip.objects.update(text="new")
    relay()
    embedding.go()
    assert not Chunk.objects.filter(text__contains="old").exists()
    settle()
    assert Chunk.objects.get().text == "k\nnew"


def test_newer_version_embedded_during_embedding(embedding):
    Slip.objects.create(key="k", text="old")
    relay()
    embedding.start(embedding.run)
    Slip.objects.update(text="new")
    drain_elsewhere()
    assert Chunk.objects.get().text == "k\nnew"
    embedding.go()
    assert Chunk.objects.get().text == "k\nnew"
    settle()


def drain_elsewhere():
    """Another worker's turn, whose provider does not wait."""
    relay()
    with Executor() as executor:
        executor.embedder = LexicalEmbedder(dimensions=256)
        assert unchecked(executor).run_once().written == 1


def test_row_deleted_and_made_again_during_embedding(embedding):
    Slip.objects.create(key="k", text="old")
    relay()
    embedding.start(embedding.run)
    Slip.objects.all().delete()
    relay()
    Slip.objects.create(key="k", text="born again")
    relay()
    embedding.go()
    settle()
    assert Chunk.objects.get().text == "k\nborn again"


def test_lease_that_ends_during_embedding(embedding):
    """The executor is only slow, but others take it for dead."""
    Slip.objects.create(key="k", text="text")
    relay()
    embedding.start(embedding.run)
    make_due()
    with Executor() as executor:
        executor.embedder = LexicalEmbedder(dimensions=256)
        assert unchecked(executor).run_once().written == 1
    embedding.go()
    assert Chunk.objects.count() == 1
    settle()


def test_documents_truncated_during_embedding(embedding):
    Slip.objects.create(key="k", text="text")
    relay()
    embedding.start(embedding.run)
    execute("TRUNCATE press_slip")
    relay()
    embedding.go()
    assert not Chunk.objects.exists()
    settle()


# Rendering


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE press_slip SET text = 'new'",
        "DELETE FROM press_slip",
        "UPDATE press_slip SET key = 'other' WHERE key = 'a'",
    ],
)
def test_change_during_rendering(rendering, change):
    Slip.objects.create(key="a", text="old")
    Slip.objects.create(key="b", text="old")
    rendering.start(relay_once)
    execute(change)
    rendering.go()
    settle()


def relay_once():
    Relay().run_once()


def test_keys_swapped_during_rendering(rendering):
    Slip.objects.create(key="a", text="first")
    Slip.objects.create(key="b", text="second")
    rendering.start(relay_once)
    with transaction.atomic():
        Slip.objects.filter(key="a").update(key="between")
        Slip.objects.filter(key="b").update(key="a")
        Slip.objects.filter(key="between").update(key="b")
    second = on_thread(relay_once)
    await_lock()
    rendering.go()
    second.join()
    settle()
    assert dict(Document.objects.values_list("id", "content")) == {"a": "second", "b": "first"}


def test_truncate_while_a_relay_syncs(rendering):
    Slip.objects.create(key="a", text="text")
    rendering.start(relay_once)
    truncating = on_thread(lambda: execute("TRUNCATE press_slip"))
    await_lock()  # the relay has read the table
    rendering.go()
    truncating.join()
    assert ExternalData.objects.count() == 1
    settle()
    assert not ExternalData.objects.exists()


def test_truncate_while_a_model_is_synced_by_hand(rendering):
    Slip.objects.create(key="a", text="text")
    OutboxEvent.objects.all().delete()
    rendering.start(lambda: sync_keys(source_of(Slip), ["a"], "default"))
    truncating = on_thread(lambda: execute("TRUNCATE press_slip"))
    await_lock()
    rendering.go()
    truncating.join()
    settle()
    assert not ExternalData.objects.exists()


def test_rows_made_after_a_truncate_that_waits(rendering):
    rendering.released.set()
    Slip.objects.create(key="a", text="old")
    Slip.objects.create(key="b", text="old")
    drain()
    execute("TRUNCATE press_slip")
    Slip.objects.create(key="b", text="new")
    settle()
    assert dict(Document.objects.values_list("id", "content")) == {"b": "new"}


def test_check_during_a_change_raises_no_false_alarm(rendering):
    """The check has read the old row; the relay must not bring in the new one before the check has compared."""
    Slip.objects.create(key="a", text="old")
    rendering.released.set()
    drain()
    rendering.released.clear()
    rendering.reached.clear()
    found = []
    rendering.start(lambda: found.append(check(source_of(Slip), "default")))
    Slip.objects.update(text="new")
    second = on_thread(relay_once)
    second.join(0.3)
    rendering.go()
    second.join()
    assert (found[0].total, found[0].pending) == (0, 1)
    settle()


# Commits in another order than the events


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_lower_event_commits_later(embedding, end):
    drain()
    written, released = threading.Event(), threading.Event()

    def write_slowly():
        transaction.set_autocommit(False)
        Slip.objects.create(key="slow", text="first event")
        Slip.objects.filter(key="both").update(text="slow")
        written.set()
        assert released.wait(30)
        getattr(transaction, end)()

    Slip.objects.create(key="both", text="old")
    slow = on_thread(write_slowly)
    assert written.wait(30)
    Slip.objects.create(key="fast", text="second event")
    drain()
    assert set(Document.objects.values_list("id", flat=True)) == {"fast", "both"}
    newest = OutboxEvent.objects.count()
    assert newest == 0
    released.set()
    slow.join()
    settle()
    expected = {"fast": "second event", "both": "old"}
    if end == "commit":
        expected |= {"slow": "first event", "both": "slow"}
    assert dict(Document.objects.values_list("id", "content")) == expected
