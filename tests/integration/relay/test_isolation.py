"""The relay reads what was committed before each statement, whatever the project's isolation level."""

import threading

import pytest
from django.db import connection, connections, transaction
from psycopg import IsolationLevel

from pgknowbase.errors import IsolationError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)
LEVELS = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]


@pytest.fixture(params=LEVELS, ids=lambda level: level.name)
def strict(request, transactional_db, monkeypatch):
    """Every connection of the project has this isolation level."""
    OutboxEvent.objects.all().delete()
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "isolation_level", request.param)
    connection.close()
    yield request.param
    connection.close()


def level():
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return cursor.fetchone()[0]


def test_project_really_has_the_level(strict):
    with transaction.atomic():
        assert level() == strict.name.replace("_", " ").lower()


def test_waiting_relay_sees_what_was_committed_meanwhile(strict, monkeypatch):
    """The second relay waits for the first one's lock with its transaction open, and must read the newer row."""
    reached, release = threading.Event(), threading.Event()

    def content(row):
        if threading.current_thread().name == "first":
            reached.set()
            assert release.wait(20)
        return row.text

    monkeypatch.setattr(Note, "get_external_content", content)
    note = Note.notes.create(text="old")

    def run():
        try:
            Relay().run_once()
        finally:
            connections.close_all()

    first, second = (threading.Thread(target=run, name=name) for name in ("first", "second"))
    first.start()
    assert reached.wait(20)
    Note.notes.update(text="newer")
    second.start()
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                break
    else:
        pytest.fail("the second relay never waited")
    Note.notes.update(text="newest")
    release.set()
    first.join()
    second.join()
    assert note.external_data.content == "newest"


def test_sync_by_hand(strict):
    note = Note.notes.create(text="a")
    assert note.sync_to_external_data().created == 1
    assert note.remove_from_external_data()
    with transaction.atomic():
        assert level() == strict.name.replace("_", " ").lower()
        for call in (note.sync_to_external_data, note.remove_from_external_data):
            with pytest.raises(IsolationError, match=r"is '(repeatable read|serializable)' and may read an old state"):
                call()
    assert not ExternalData.objects.exists()


def test_sync_by_hand_in_a_transaction_of_the_usual_level(transactional_db):
    with transaction.atomic():
        note = Note.notes.create(text="a")
        assert note.sync_to_external_data().created == 1
    assert note.has_external_data
