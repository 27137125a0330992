"""Signals are sent after commit alone, and a receiver that raises harms nobody."""

import pytest
from django.db import transaction

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.signals import external_data_failed, external_data_removed, external_data_synced
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)
SIGNALS = {"synced": external_data_synced, "removed": external_data_removed, "failed": external_data_failed}


@pytest.fixture
def told(transactional_db):
    """What receivers were told; before each of them another one raises."""
    OutboxEvent.objects.all().delete()
    heard = []

    def raises(sender, **values):
        raise RuntimeError("bad receiver")

    receivers = [raises]
    for name, signal in SIGNALS.items():

        def listens(sender, signal, name=name, **values):
            heard.append((name, sender, values))

        receivers.append(listens)
        signal.connect(raises)
        signal.connect(listens)
    yield heard
    for signal in SIGNALS.values():
        for receiver in receivers:
            signal.disconnect(receiver)


def test_each_is_told_after_commit(told, caplog):
    good, bad = Note.notes.create(text="good"), Note.notes.create(text="explode")
    Relay().run_once()
    pk = good.external_data.pk
    error = "RuntimeError: told to explode (in get_external_content)"
    assert sorted(told, key=lambda one: one[0]) == [
        ("failed", Note, {"object_key": str(bad.pk), "error": error}),
        ("synced", Note, {"object_key": str(good.pk), "outcome": "created", "external_data_id": pk}),
    ]
    told.clear()
    Note.notes.filter(pk=good.pk).delete()
    Relay().run_once()
    assert told == [("removed", Note, {"object_key": str(good.pk)})]
    assert caplog.text.count("RuntimeError: bad receiver") == 3


def test_nothing_is_told_before_the_outer_transaction_ends(told):
    good, bad = Note.notes.create(text="good"), Note.notes.create(text="explode")
    with transaction.atomic():
        good.sync_to_external_data()
        bad.sync_to_external_data()
        assert told == []
    assert sorted(one[0] for one in told) == ["failed", "synced"]
    told.clear()
    with transaction.atomic():
        good.remove_from_external_data()
        assert told == []
    assert [one[0] for one in told] == ["removed"]


def test_nothing_is_told_of_what_is_rolled_back(told):
    good, bad, gone = (Note.notes.create(text=text) for text in ("good", "explode", "gone"))
    gone.sync_to_external_data()
    told.clear()
    with transaction.atomic():
        with transaction.atomic():
            good.sync_to_external_data()
            bad.sync_to_external_data()
            gone.remove_from_external_data()
            transaction.set_rollback(True)
        assert ExternalData.objects.count() == 1
    assert told == []


def test_turn_that_is_done_again_row_by_row_is_told_once(told):
    good, bad = Note.notes.create(text="good"), Note.notes.create(text="badquery")
    Relay().run_once()
    assert sorted((name, values["object_key"]) for name, _, values in told) == [
        ("failed", str(bad.pk)),
        ("synced", str(good.pk)),
    ]
