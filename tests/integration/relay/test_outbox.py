"""The low watermark of the outbox rises as events are done, and no event is missed that comes below it afterwards."""

import random
import threading
import time
from contextlib import suppress

import pytest
from django.db import connection, connections, transaction

from pgknowbase.core import gateway
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.outbox import OutboxLowWatermark
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def low_watermark(monkeypatch):
    monkeypatch.setattr("pgknowbase.relay.outbox.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("pgknowbase.relay.outbox.IDLE_REFRESH_SECONDS", 0.0)
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


def raised(low_watermark):
    return low_watermark.refresh()


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


def test_passes_open_transactions_and_finds_their_events_when_they_end(low_watermark):
    """Whatever was written and worked off meanwhile; one that ends does not send it back to where another began."""
    relay = Relay()
    first, second = Writing("first"), Writing("second", after=lambda: work_off_others(relay))
    try:
        work_off_others(relay)
        assert relay.low_watermark.refresh() == highest() == raised(low_watermark)
        assert sorted(relay.low_watermark.open.values())[0] < sorted(relay.low_watermark.open.values())[-1]
        second.commit()
        assert relay.run_once().report.created == 1
        assert relay.run_once().idle
        assert relay.low_watermark.refresh() == highest()
        work_off_others(relay)
        first.commit()
        assert relay.run_once().report.created == 1
        assert relay.low_watermark.refresh() == highest() == raised(low_watermark)
    finally:
        first.commit()
        second.commit()


def test_a_transaction_that_is_undone_leaves_nothing_to_look_for(low_watermark):
    relay, undone = Relay(), Writing("undone")
    work_off_others(relay)
    undone.commit(undo=True)
    assert relay.run_once().idle
    assert relay.low_watermark.refresh() == highest()
    assert undone.number not in relay.low_watermark.open


def test_claim_starts_behind_dead_events(low_watermark):
    """Beside a snapshot and a writer that stay open for long, it reads no more of the index than in an empty outbox."""
    relay, writer = Relay(), Writing("stays open")
    try:
        OutboxEvent.objects.bulk_create(
            OutboxEvent(source="blog.Note", object_keys=[str(n)], op="U") for n in range(500)
        )
        while not relay.run_once().idle:
            pass
        relay.low_watermark.refresh()
        reads = "SELECT pg_stat_get_xact_tuples_returned('pgknowbase_outbox_pkey'::regclass)"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(reads)
            (before,) = cursor.fetchone()
            place = relay.low_watermark.place
            assert gateway.fetch("default", "outbox_claim", labels=relay.labels, **place, max_keys=9) == []
            cursor.execute(reads)
            assert cursor.fetchone()[0] - before < 10
    finally:
        writer.commit()


def test_nothing_is_missed_whoever_writes_beside(low_watermark, monkeypatch):
    """Many transactions that begin, write, end and are undone in any order, and two relays that look all the time."""
    monkeypatch.setattr("pgknowbase.relay.outbox.RESTART_SECONDS", 1e9)  # nor found by looking at everything
    monkeypatch.setattr("pgknowbase.relay.outbox.REFRESH_EVENTS", 1)
    ended = threading.Event()

    def write(seed):
        chance = random.Random(seed)
        for number in range(25):
            with suppress(UndoneError), transaction.atomic():
                for place in range(chance.randrange(1, 4)):
                    Note.notes.create(text=f"{seed}-{number}-{place}")
                    time.sleep(chance.choice([0, 0, 0.002, 0.02]))
                if chance.random() < 0.2:
                    raise UndoneError
        connections.close_all()

    def relays():
        relay = Relay(batch_size=20)
        while not ended.is_set():
            relay.run_once()
        while not relay.run_once().idle:
            pass
        connections.close_all()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    others = [threading.Thread(target=relays) for _ in range(2)]
    for thread in (*writers, *others):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    for thread in others:
        thread.join()
    assert not OutboxEvent.objects.exists()
    indexed = ExternalData.objects.values_list("object_key", flat=True)
    assert sorted(indexed) == sorted(str(pk) for pk in Note.notes.values_list("pk", flat=True))


class UndoneError(Exception):
    """Rolls a transaction back."""


class Writing:
    """A transaction on a thread of its own that has written a note and stays open until ``commit``."""

    def __init__(self, text, after=lambda: None):
        after()
        self.text, self.number, self.undo = text, 0, False
        self._drawn, self._commit = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        assert self._drawn.wait(20)

    def commit(self, undo=False):
        self.undo = undo
        self._commit.set()
        self._thread.join()

    def _write(self):
        with suppress(UndoneError), transaction.atomic(), connection.cursor() as cursor:
            Note.notes.create(text=self.text)
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            (self.number,) = cursor.fetchone()
            self._drawn.set()
            assert self._commit.wait(60)
            if self.undo:
                raise UndoneError
        connections.close_all()


def work_off_others(relay):
    """A few notes written and indexed beside those of open transactions."""
    for number in range(3):
        Note.notes.create(text=f"other {number}")
        assert relay.run_once().report.created == 1
        assert relay.run_once().idle


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
