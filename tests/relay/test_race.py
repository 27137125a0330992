"""Two relays at one object: the last committed state wins."""

import threading

import pytest
from django.db import connection, connections

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.blog.models import Note

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


def waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
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
