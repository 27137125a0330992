"""``wait_indexed`` returns when the committed state is searchable, and says what it waits for when it is not."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from pgknowbase import await_indexed, wait_indexed
from pgknowbase.errors import NotYetIndexedError
from pgknowbase.models import Expansion, ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.worker import Worker
from tests.projects.blog.models import Manual, Note

pytestmark = pytest.mark.django_db(transaction=True)
SHORT = 0.1


@pytest.fixture(autouse=True)
def empty_outbox(transactional_db):
    OutboxEvent.objects.all().delete()


@pytest.fixture
def worker(transactional_db):
    """A worker on a thread, until the test ends."""
    running = Worker()

    def run():
        try:
            running.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield running
    running.stop()
    thread.join()


def chunks(note):
    return [chunk.text for chunk in note.external_data.chunks]


def test_each_change_is_searchable_after_the_wait(worker):
    note = Note.notes.create(text="first")
    for text in ("second", "third", "fourth"):
        Note.notes.update(text=text)
        assert wait_indexed(note, timeout=120)
        assert [one.matched_chunk.strip() for one in Note.notes.semantic_search("x", threshold=-1)] == [text]
    Note.notes.update(hidden=True)
    assert not note.wait_indexed(timeout=120)
    assert not note.has_external_data


def test_truncate_is_waited_for(worker):
    note = Note.notes.create(text="first")
    assert note.wait_indexed(timeout=120)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE blog_note")
    assert not wait_indexed(note, timeout=120)
    assert not ExternalData.objects.exists()


def test_events_that_another_one_leaves_behind_are_waited_for():
    """TRUNCATE becomes an expansion over all objects; the first look cannot know of that."""
    from pgknowbase.sync.waiting import PendingObject

    note, _ = Note.notes.bulk_create([Note(text="first"), Note(text="second")])
    Worker().run_until_idle()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE blog_note")
    pending = PendingObject.of_row(note)
    assert not pending.is_done()
    relay = Relay(batch_size=1)
    relay.run_once()
    assert not OutboxEvent.objects.exists()
    assert Expansion.objects.exists()
    assert not pending.is_done()
    while not relay.run_once().idle:
        pass
    assert pending.is_done()


def test_changes_after_the_call_are_not_waited_for():
    from pgknowbase.sync.waiting import PendingObject

    note = Note.notes.create(text="first")
    pending = PendingObject.of_row(note)
    assert not pending.is_done()
    Worker().run_until_idle()
    Note.notes.update(text="later")
    assert pending.is_done()
    assert not PendingObject.of_row(note).is_done()


def run_async(coroutine):
    """Run it, and close the connection of the thread that its database calls were made on."""

    async def run():
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(run())


def test_async_twins(worker):
    note = Note.notes.create(text="first")
    assert run_async(await_indexed(note, timeout=120))
    assert run_async(note.await_indexed(timeout=120))


# What it says


def test_nobody_takes_the_event():
    note = Note.notes.create(text="first")
    with pytest.raises(
        NotYetIndexedError, match=r"^blog.Note '.*' is not searchable after 0.1 s: its change waits in the outbox"
    ):
        wait_indexed(note, timeout=SHORT)
    with pytest.raises(NotYetIndexedError, match="outbox"):
        run_async(note.await_indexed(timeout=SHORT))


def test_nobody_embeds():
    note = Note.notes.create(text="first")
    Relay().run_once()
    with pytest.raises(NotYetIndexedError, match=r"its text waits to be embedded: start 'manage.py pgknowbase_worker'"):
        wait_indexed(note, timeout=SHORT)


def test_rendering_failed(worker_settings):
    worker_settings(RETRY={"DELAY": 3600, "MAX_DELAY": 3600})
    note = Note.notes.create(text="explode")
    Relay().run_once()
    with pytest.raises(NotYetIndexedError, match=r"told to explode .* is retried at .*: correct the hook"):
        wait_indexed(note, timeout=SHORT)


def test_dead_letter_is_not_waited_for(worker_settings):
    worker_settings(RETRY={"MAX_ATTEMPTS": 1})
    note = Note.notes.create(text="explode")
    Relay().run_once()
    with pytest.raises(NotYetIndexedError, match=r"is a dead letter .*pgknowbase_dead_letters blog.Note --retry"):
        wait_indexed(note, timeout=3600)


def test_open_transaction_is_told_at_once():
    note = Note.notes.create(text="first")
    Worker().run_until_idle()
    with transaction.atomic():
        assert wait_indexed(note)
        Note.notes.update(text="second")
        with pytest.raises(NotYetIndexedError, match="before the open transaction on 'default' ends: wait after it"):
            wait_indexed(note, timeout=3600)


def test_row_that_is_not_saved():
    with pytest.raises(NotYetIndexedError, match="save it first"):
        wait_indexed(Manual(name="x"))


# wait=True


def test_sync_and_wait_needs_no_worker():
    note = Manual.objects.create(name="by hand")
    report = note.sync_to_external_data(wait=True)
    assert (report.created, report.embedded) == (1, 1)
    assert note.external_data_status == "completed"
    assert note.sync_to_external_data(wait=True).embedded == 0
    assert note.regenerate_external_data(wait=True).embedded == 1


def test_sync_and_wait_while_another_worker_has_the_document():
    from pgknowbase.core import gateway
    from pgknowbase.spaces.specification import active_space

    note = Manual.objects.create(name="by hand")
    note.sync_to_external_data()
    space = active_space("default").vectorizer_id
    (leased,) = gateway.fetch(
        "default",
        "queue_claim",
        vectorizer=space,
        max_items=10,
        lease_seconds=60.0,
        only_source=None,
        only_id=None,
        worker=None,
        fresh_only=False,
        marked=True,
    )
    with pytest.raises(NotYetIndexedError, match="a worker is embedding it"):
        note.sync_to_external_data(wait=True, timeout=SHORT)
    gateway.fetch(
        "default",
        "queue_release",
        vectorizer=space,
        items=[leased[0]],
        lease=leased[1],
        delay=0.0,
        reason="",
        attempt=True,
        until=None,
    )
    assert note.sync_to_external_data(wait=True).embedded == 1


def test_sync_and_wait_of_a_row_that_cannot_be_rendered():
    note = Note.notes.create(text="explode")
    ((key, error),) = note.sync_to_external_data(wait=True).failures
    assert key == str(note.pk)
    assert "told to explode" in error


def test_async_by_hand():
    async def run():
        note = await Manual.objects.acreate(name="by hand")
        assert (await note.async_to_external_data(True)).embedded == 1
        assert (await note.aregenerate_external_data(wait=True)).embedded == 1
        assert await note.aremove_from_external_data()
        assert (await Manual.async_all_external_data()).created == 1
        assert (await Manual.async_all_external_data(limit=1)).unchanged == 1

    run_async(run())
