"""The look of an idle relay: one statement that is put together once."""

import pytest
from django.db import DataError, transaction

from pgknowbase.core import gateway
from pgknowbase.models import OutboxEvent
from pgknowbase.worker.loop import IDLE_POLL_SECONDS, POLL_SECONDS, WOKEN_POLL_SECONDS, Stage

pytestmark = pytest.mark.django_db


def look(**changes):
    given = {
        "labels": ["blog.Note"],
        "low_watermark": 0,
        "open": [],
        "since": [],
        "source_ids": [1],
        "refreshed": [],
        **changes,
    }
    (row,) = gateway.fetch("default", "relay_has_work", **given)
    flags = gateway.fetch_flags("default", "relay_has_work", **given)
    assert flags == row
    return flags


def test_flags_follow_rows_and_parameters():
    assert look() == (False, False, False, False)
    event = OutboxEvent.objects.create(source="blog.Note", path="", object_keys=["1"], op="I")
    assert look() == (True, False, False, False)
    assert look(low_watermark=event.pk) == (False, False, False, False)
    assert look(labels=["blog.Article", "it's"]) == (False, False, False, False)
    assert look() == (True, False, False, False)


def test_errors_are_those_of_django():
    given = {"labels": [], "low_watermark": 0, "open": [], "since": [], "source_ids": ["x"], "refreshed": []}
    with pytest.raises(DataError, match="invalid input syntax"), transaction.atomic():
        gateway.fetch_flags("default", "relay_has_work", **given)
    assert look() == (False, False, False, False)


def test_stage_that_finds_nothing_looks_less_and_less_often():
    woken = Stage("words", lambda: True, WOKEN_POLL_SECONDS, IDLE_POLL_SECONDS)
    assert [woken.pause(looks) for looks in (1, 2, 99)] == [WOKEN_POLL_SECONDS, 2 * WOKEN_POLL_SECONDS, 1.0]
    assert Stage("relay", lambda: True, POLL_SECONDS).pause(99) == POLL_SECONDS
