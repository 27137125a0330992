"""``refresh_after``: texts that age are rendered again, spread over time, and embedded only where they changed."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils.timezone import now

from pgknowbase.models import Document, ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Note

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def aging(monkeypatch, db):
    """Notes whose text says what ``clock`` says."""
    OutboxEvent.objects.all().delete()
    clock = {"today": "Monday"}
    declare(monkeypatch, DAY)
    monkeypatch.setattr(Note, "get_external_content", lambda row: f"{row.text} on {clock['today']}")
    return clock


def declare(monkeypatch, refresh_after):
    declared = type("ExternalDataMeta", (Note.ExternalDataMeta,), {"refresh_after": refresh_after})
    monkeypatch.setattr(Note, "ExternalDataMeta", declared)


def age(**filters):
    """Let the objects come due, all at once."""
    ExternalData.objects.filter(**filters).update(refresh_at=now() - timedelta(seconds=1))


def make(count):
    Note.notes.bulk_create([Note(text=f"n{number}") for number in range(count)])
    while not Relay().run_once().idle:
        pass


@pytest.mark.django_db
def test_synced_together_due_apart():
    make(200)
    due = [(one.refresh_at - one.created_at) / DAY for one in ExternalData.objects.all()]
    assert all(0.74 < part <= 1.0 for part in due)
    quarters = {int(20 * part) for part in due}
    assert quarters >= {15, 16, 17, 18, 19}


@pytest.mark.django_db
def test_due_text_is_rendered_again_and_unchanged_costs_one_statement(aging):
    make(3)
    assert Relay().run_once().idle
    age()
    before = dict(Document.objects.values_list("id", "content"))
    updated = dict(ExternalData.objects.values_list("object_key", "updated_at"))
    batch = Relay().run_once()
    assert (batch.retries, batch.report.unchanged) == (3, 3)
    assert dict(Document.objects.values_list("id", "content")) == before
    assert dict(ExternalData.objects.values_list("object_key", "updated_at")) == updated
    assert not ExternalData.objects.filter(refresh_at__lt=now() + 0.7 * DAY).exists()
    assert Relay().run_once().idle
    aging["today"] = "Tuesday"
    age()
    assert Relay().run_once().report.updated == 3
    assert all(document.content.endswith("Tuesday") for document in Document.objects.all())
    assert not ExternalData.objects.filter(refresh_at__lt=now() + 0.7 * DAY).exists()


@pytest.mark.django_db
def test_small_batches_after_fresh_events():
    make(130)
    age()
    fresh = Note.notes.create(text="fresh")
    batch = Relay().run_once()
    assert (batch.events, batch.retries, batch.report.created) == (1, 0, 1)
    assert fresh.has_external_data
    assert [Relay().run_once().retries for _ in range(3)] == [100, 30, 0]


@pytest.mark.django_db
def test_taken_away_nothing_comes_due(monkeypatch):
    make(2)
    age()
    declare(monkeypatch, None)
    assert Relay().run_once().idle
    Note.notes.first().sync_to_external_data()
    assert ExternalData.objects.filter(refresh_at__isnull=True).count() == 0
    Note.notes.update(text="changed")
    Relay().run_once()
    assert ExternalData.objects.filter(refresh_at__isnull=True).count() == 2


@pytest.mark.django_db
def test_given_later_or_shortened_it_holds_with_the_next_sync(monkeypatch):
    declare(monkeypatch, None)
    make(2)
    assert ExternalData.objects.filter(refresh_at__isnull=True).count() == 2
    declare(monkeypatch, 10 * DAY)
    assert Note.sync_all_external_data().unchanged == 2
    assert ExternalData.objects.filter(refresh_at__gt=now() + 7 * DAY).count() == 2
    declare(monkeypatch, DAY)
    assert Note.sync_all_external_data().unchanged == 2
    assert ExternalData.objects.filter(refresh_at__lte=now() + DAY).count() == 2


@pytest.mark.django_db
def test_failed_refresh_waits_for_its_retry_and_keeps_the_text(monkeypatch, worker_settings):
    worker_settings(RETRY={"DELAY": 3600, "MAX_DELAY": 3600})
    make(1)
    age()
    monkeypatch.setattr(Note, "get_external_content", lambda row: 1 / 0)
    assert Relay().run_once().report.failed == 1
    assert Relay().run_once().idle
    assert Document.objects.get().content == "n0 on Monday"


@pytest.mark.django_db
def test_row_that_is_gone_unseen_is_removed():
    make(2)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM blog_note WHERE text = 'n0'")
    OutboxEvent.objects.all().delete()
    age()
    assert Relay().run_once().report.removed == 1


@pytest.mark.django_db(transaction=True)
def test_only_changed_texts_are_embedded(aging, drain):
    make(4)
    assert drain().embedded == 4
    age()
    assert drain().embedded == 0
    aging["today"] = "Tuesday"
    age(object_key=F("object_key"))
    assert drain().embedded == 4


@pytest.mark.django_db(transaction=True)
def test_object_that_another_relay_is_at_is_passed_over(monkeypatch):
    """No claim waits, and none locks the row that the other relay is about to write."""
    from django.db import connections

    from pgknowbase.core.queries import find_query
    from pgknowbase.sources.registry import source_of

    make(2)
    age()
    busy = ExternalData.objects.first()
    number = source_of(Note).content_type_id("default")
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            other.set_autocommit(False)
            cursor.execute(find_query("lock_objects").sql, [number, [busy.object_key]])
            assert Relay().run_once().retries == 1
            cursor.execute("UPDATE pgknowbase_externaldata SET title = 'x' WHERE id = %s", [busy.pk])
            other.rollback()
    finally:
        other.close()
    assert Relay().run_once().retries == 1
