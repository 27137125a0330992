"""A reaction runs for every committed change that it asks for, whoever wrote it, and for no other."""

import uuid
from datetime import UTC, datetime

import pgtrigger
import pytest
from django.db import connection, transaction

from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.testing import drain
from tests.projects.newsroom.models import Call, Cell, Label, Report, Shift, Story, Ticket

pytestmark = pytest.mark.django_db


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def waiting():
    """(reaction, key, op) of each change that no worker has taken, and takes them away."""
    found = [
        (reaction.partition(".")[2], key, op)
        for reaction, keys, op in ReactionEvent.objects.values_list("reaction", "object_keys", "op")
        for key in keys
    ]
    ReactionEvent.objects.all().delete()
    return found


def test_orm_writes():
    story = Story.objects.create(body="a")
    assert waiting() == [("analyse", str(story.pk), "I")]
    story.body = "b"
    story.save()
    assert waiting() == [("analyse", str(story.pk), "U")]
    story.save()
    Story.objects.update(summary="not watched")
    assert waiting() == []
    Story.objects.filter(pk=story.pk).update(body="c", title="t")
    assert sorted(waiting()) == [("analyse", str(story.pk), "U"), ("ping", str(story.pk), "U")]
    story.delete()
    assert waiting() == []


def test_bulk_raw_sql_and_copy():
    rows = Story.objects.bulk_create([Story(body=str(n)) for n in range(250)])
    assert ReactionEvent.objects.count() == 3, "a hundred keys to an event"
    assert sorted(waiting()) == sorted(("analyse", str(row.pk), "I") for row in rows)
    execute("UPDATE newsroom_story SET body = body || 'x' WHERE id = %s", [rows[0].pk])
    assert waiting() == [("analyse", str(rows[0].pk), "U")]
    execute("INSERT INTO newsroom_story (id, title, body, status, summary) VALUES (7000, '', '', 'draft', '')")
    assert waiting() == [("analyse", "7000", "I")]
    with connection.cursor() as cursor, cursor.copy('COPY newsroom_label ("the Key", text) FROM STDIN') as copy:
        copy.write_row(("copied, 'quoted'", "x"))
        copy.write_row(("other", "x"))
    assert waiting() == [("pong", "copied, 'quoted'", "I"), ("pong", "other", "I")]


def test_rolled_back_changes_are_not_seen():
    with transaction.atomic():
        Story.objects.create(body="lost")
        transaction.set_rollback(True)
    with transaction.atomic():
        kept = Story.objects.create(body="kept")
        with transaction.atomic():
            Story.objects.create(body="lost, too")
            transaction.set_rollback(True)
    assert waiting() == [("analyse", str(kept.pk), "I")]


def test_unwatched_field_of_the_index_fires(calls):
    report = Report.objects.create(title="t")
    drain()
    assert calls("review") == []
    Report.objects.update(status="published")
    Report.objects.update(title="u")
    drain()
    (call,) = calls("review")
    assert (call.object_key, call.op, call.seen) == (str(report.pk), "update", "published")


def test_condition_asks_the_committed_row(calls):
    draft, published, late = Story.objects.bulk_create(
        [Story(body="a"), Story(body="b", status="published"), Story(body="c")]
    )
    Story.objects.filter(pk=late.pk).update(status="published")
    drain()
    assert [call.object_key for call in calls("analyse")] == [str(draft.pk)]
    assert Delivery.objects.count() == 1, "nothing is kept of those that do not pass"
    Story.objects.filter(pk=published.pk).update(status="draft")
    drain()
    assert [call.object_key for call in calls("analyse")] == [str(draft.pk), str(published.pk)]


def test_delete_carries_the_key_alone(calls):
    ticket = Ticket.objects.create(text="a")
    Ticket.objects.update(text="b")
    drain()
    key = str(ticket.pk)
    ticket.delete()
    drain()
    assert [(call.object_key, call.op, call.seen) for call in calls("tickets")] == [
        (key, "insert", "b"),
        (key, "delete", ""),
    ]
    assert Delivery.objects.filter(state="done").count() == 2


def test_row_that_has_gone_is_passed_over(calls):
    Story.objects.create(body="a").delete()
    drain()
    assert calls("analyse") == []
    assert not Delivery.objects.exists()


def test_many_changes_of_a_row_are_one_run_with_the_last_state(calls):
    ticket = Ticket.objects.create(text="1")
    for text in "234":
        Ticket.objects.update(text=text)
    drain()
    (call,) = calls("tickets")
    assert (call.object_key, call.op, call.seen, call.attempt, call.depth) == (str(ticket.pk), "insert", "4", 1, 0)


def test_keys_of_every_kind(calls):
    number = uuid.uuid4()
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    Ticket.objects.create(pk=number, text="uuid")
    Label.objects.create(key="a 'b' \"c\" ñ", text="text")
    Cell.objects.create(row='r, "1"', place=2, text="composite")
    Shift.objects.create(at=at, text="datetime")
    execute("SET LOCAL DateStyle = 'SQL, DMY'")
    Shift.objects.update(text="other")
    execute("SET LOCAL DateStyle = 'ISO, MDY'")
    drain()
    seen = {call.seen: call.object_key for name in ("tickets", "pong", "celled", "shift") for call in calls(name)}
    assert seen == {
        "uuid": str(number),
        "text": "a 'b' \"c\" ñ",
        "composite": '["r, \\"1\\"", "2"]',
        "other": "2026-03-01T12:30:00.000000Z",
    }


def test_async_function(calls):
    Label.objects.create(key="k", text="t")
    drain()
    (call,) = calls("pong")
    assert (call.seen, call.op) == ("t", "insert")


def test_ignored_triggers_write_nothing():
    with pgtrigger.ignore():
        Story.objects.create(body="a")
    assert waiting() == []


def test_models_without_reactions_have_no_such_trigger():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'blog_article'::regclass AND NOT tgisinternal")
        assert len(cursor.fetchall()) == 4
    assert not Call.objects.exists()
