"""The low watermark of the outbox rises as events are done, and never above one that is there or may still come."""

import threading

import pytest
from django.db import connection, connections, transaction

from pgknowbase.models import OutboxEvent
from pgknowbase.relay.outbox import OutboxLowWatermark
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def low_watermark(monkeypatch):
    monkeypatch.setattr("pgknowbase.relay.outbox.REFRESH_SECONDS", 0.0)
    OutboxEvent.objects.all().delete()
    return OutboxLowWatermark(["blog.Note"], "default")


def highest():
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM pgknowbase_outbox_id_seq")
        return cursor.fetchone()[0]


def work_off():
    relay = Relay()
    while not relay.run_once().idle:
        pass


def raised(low_watermark, looks=4):
    for _ in range(looks):
        value = low_watermark.refresh()
    return value


def test_rises_to_the_last_event_that_was_worked_off(low_watermark):
    Note.notes.create(text="a")
    last = highest()
    assert raised(low_watermark) == last - 1
    work_off()
    assert raised(low_watermark) == last
    Note.notes.create(text="b")
    assert raised(low_watermark) == last


def test_a_relay_finds_what_comes_after_its_floor_rose(low_watermark):
    relay = Relay()
    for number in range(5):
        Note.notes.create(text=str(number))
        assert relay.run_once().report.created == 1
        for _ in range(3):
            assert relay.run_once().idle
    assert relay.low_watermark.value == highest()


def test_never_rises_above_an_event_whose_transaction_is_still_open(low_watermark):
    drawn, commit = threading.Event(), threading.Event()

    def slow_writer():
        with transaction.atomic():
            Note.notes.create(text="late")
            drawn.set()
            assert commit.wait(20)
        connections.close_all()

    writer = threading.Thread(target=slow_writer)
    writer.start()
    try:
        assert drawn.wait(20)
        late = highest()
        Note.notes.create(text="early")
        relay = Relay()
        assert relay.run_once().report.created == 1
        assert raised(low_watermark) < late
        assert relay.low_watermark.refresh() < late
    finally:
        commit.set()
        writer.join()
    assert relay.run_once().report.created == 1
    assert raised(low_watermark) >= late


def test_never_rises_above_an_event_that_another_relay_holds(low_watermark):
    Note.notes.create(text="held")
    with transaction.atomic():
        held = list(OutboxEvent.objects.select_for_update())

        def others():
            assert raised(low_watermark) < held[0].pk
            assert Relay().run_once().idle
            connections.close_all()

        other = threading.Thread(target=others)
        other.start()
        other.join()
    assert raised(low_watermark) == held[0].pk - 1
    relay = Relay()
    assert relay.run_once().report.created == 1


def test_begins_anew_with_the_ids(low_watermark):
    for number in range(30):
        Note.notes.create(text=str(number))
    relay = Relay()
    while not relay.run_once().idle:
        pass
    raised(relay.low_watermark)
    assert relay.low_watermark.value >= 30
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE pgknowbase_outbox RESTART IDENTITY")
    Note.notes.create(text="first again")
    assert relay.run_once().report.created == 1


def test_events_of_another_project_do_not_hold_it_down(low_watermark):
    OutboxEvent.objects.create(source="other.Project", object_keys=["1"], op="U")
    Note.notes.create(text="a")
    work_off()
    assert raised(low_watermark) == highest()
