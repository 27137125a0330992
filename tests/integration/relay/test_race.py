"""Two relays at one object: the last committed state wins."""

import threading

import pytest
from django.db import connection, connections, transaction

from pgknowbase.errors import EmbeddingError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from pgknowbase.vectorizer.leases import Leases
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(monkeypatch):
    """The relay on the thread 'first' stops between reading a row and writing it, until ``release`` is set."""
    reached, release = threading.Event(), threading.Event()

    def content(row):
        if threading.current_thread().name == "first":
            reached.set()
            assert release.wait(20)
        return row.text

    monkeypatch.setattr(Note, "get_external_content", content)
    OutboxEvent.objects.all().delete()
    return reached, release


def relay_on_thread(name):
    def run():
        try:
            Relay().run_once()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread


def waits_for_a_lock(kind="advisory"):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = %s AND NOT granted", [kind])
        return cursor.fetchone()[0] == 1


@pytest.mark.parametrize("change", ["update", "delete"])
def test_slow_relay_never_overwrites_a_newer_state(held, change):
    reached, release = held
    note = Note.notes.create(text="old")
    first = relay_on_thread("first")
    assert reached.wait(10)
    if change == "update":
        Note.notes.update(text="new")
    else:
        Note.notes.all().delete()
    second = relay_on_thread("second")
    second.join(0.5)
    assert waits_for_a_lock()
    release.set()
    first.join()
    second.join()
    assert not OutboxEvent.objects.exists()
    if change == "update":
        assert note.external_data.content == "new"
    else:
        assert not ExternalData.objects.exists()


def test_document_that_is_given_up_while_it_is_written_is_not_shown_as_waiting(transactional_db, monkeypatch):
    """Its text has not changed, so nothing queues it: it would be pending for ever."""
    monkeypatch.setattr(Article, "get_external_content", lambda row: row.body)  # without the year
    OutboxEvent.objects.all().delete()
    article = Article.objects.create(title="gears", body="of bicycles", year=2001)
    Relay().run_once()
    leases = Leases("default", active_space("default"), None)
    (document,) = leases.take(10)
    article.year = 2002
    article.save()
    with transaction.atomic():
        leases.fail(document, EmbeddingError("refused"))
        relay = relay_on_thread("second")
        while not waits_for_a_lock("transactionid"):
            assert relay.is_alive()
    relay.join()
    found = ExternalData.objects.get()
    assert (found.status, found.error, found.attempts, found.metadata["year"]) == ("failed", "refused", 1, 2002)


def test_batch_that_writes_and_removes_locks_its_documents_in_one_order(transactional_db):
    """The executor locks documents in key order. One that stands between a removed and a changed one must not be
    waited for in a circle."""
    OutboxEvent.objects.all().delete()
    gone, changed = sorted(Note.notes.bulk_create([Note(text="gone"), Note(text="changed")]), key=lambda n: str(n.pk))
    while not Relay().run_once().idle:
        pass
    Note.notes.filter(pk=changed.pk).update(text="changed again")
    Note.notes.filter(pk=gone.pk).delete()
    errors = []

    def relay():
        try:
            Relay().run_once()
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            connections.close_all()

    lock = "SELECT 1 FROM pgknowbase_document WHERE id = %s FOR UPDATE"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(lock, [str(gone.pk)])
        thread = threading.Thread(target=relay)
        thread.start()
        while not waits_for_a_row():
            assert thread.is_alive()
        cursor.execute(lock, [str(changed.pk)])
    thread.join(30)
    assert errors == []
    assert list(ExternalData.objects.values_list("object_key", flat=True)) == [str(changed.pk)]


def waits_for_a_row():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype IN ('transactionid', 'tuple') AND NOT granted")
        return cursor.fetchone()[0] > 0
