"""What a reaction writes does not set it off again, by whatever way it writes."""

import asyncio
import contextvars
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.testing import drain
from tests.projects.newsroom.models import Call, Label, Story


def by_sql(change):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE newsroom_story SET body = body || 's' WHERE id = %s", [change.pk])


def by_raw_cursor(change):
    with connection.connection.cursor() as cursor:
        cursor.execute("UPDATE newsroom_story SET body = body || 'r' WHERE id = %s", [change.pk])


def by_update_after_a_savepoint(change):
    with transaction.atomic():
        try:
            with transaction.atomic():
                Story.objects.filter(pk=change.pk).update(body="gone")
                raise ValueError
        except ValueError:
            pass
        Story.objects.filter(pk=change.pk).update(body="after")


def by_transaction_with_a_level(change):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        Story.objects.filter(pk=change.pk).update(body="serializable")


def by_many(change):
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE newsroom_story SET body = body || %s WHERE id = %s", [("a", change.pk), ("b", change.pk)]
        )


def by_copy(change):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM newsroom_story WHERE id = %s", [change.pk])
        with cursor.copy("COPY newsroom_story (id, title, body, status, summary) FROM STDIN") as copy:
            copy.write_row((change.pk, "", "copied", "draft", ""))


def by_coroutine(change):
    async def write():
        await Story.objects.filter(pk=change.pk).aupdate(body="async")

    from asgiref.sync import async_to_sync

    async_to_sync(write)()


def by_thread_in_the_context(change):
    context = contextvars.copy_context()

    def write():
        Story.objects.filter(pk=change.pk).update(body="thread")
        connection.close()

    thread = threading.Thread(target=context.run, args=[write])
    thread.start()
    thread.join()


def by_insensitive_coroutine(change):
    def write():
        Story.objects.filter(pk=change.pk).update(body="other thread")
        connection.close()

    asyncio.run(sync_to_async(write, thread_sensitive=False)())


WAYS = [
    by_sql, by_raw_cursor, by_update_after_a_savepoint, by_transaction_with_a_level, by_many, by_copy, by_coroutine,
    by_thread_in_the_context, by_insensitive_coroutine,
]  # fmt: skip


@pytest.mark.django_db
def test_function_that_saves_its_own_row_runs_once(calls):
    story = Story.objects.create(body="a")
    drain()
    story.refresh_from_db()
    assert (story.summary, story.body) == ("A", "a.")
    assert len(calls("analyse")) == 1
    assert not ReactionEvent.objects.exists()
    Story.objects.update(body="by somebody else")
    drain()
    assert len(calls("analyse")) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_own_writes_carry_the_chain(way, state, alone, calls):
    Story.objects.create(body="a")
    state["during"] = way
    drain()
    assert len(calls("analyse")) == 1
    assert Delivery.objects.get(reaction="newsroom.analyse").state == "done"
    assert not ReactionEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_statement_that_allows_no_transaction_passes(state, alone):
    def vacuum(change):
        with connection.cursor() as cursor:
            cursor.execute("VACUUM newsroom_label")

    Story.objects.create(body="a")
    state["during"] = vacuum
    drain()
    assert Delivery.objects.get().state == "done"


@pytest.mark.django_db(transaction=True)
def test_others_do_not_carry_the_chain(state, alone, calls):
    """What somebody else commits while the reaction runs, even for the same row, is a change of its own."""
    story = Story.objects.create(body="a")

    def meanwhile(change):
        state["during"] = None

        def write():
            Story.objects.filter(pk=story.pk).update(body="by somebody else")
            connection.close()

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    state["during"] = meanwhile
    drain()
    assert [call.depth for call in calls("analyse")] == [0, 0]


@pytest.mark.django_db
def test_circle_of_one_row_ends(calls):
    """An async function that updates its own row."""
    Label.objects.create(key="k", text="again")
    drain()
    assert [call.seen for call in calls("pong")] == ["again"]
    assert Label.objects.get().text == "again and again"


@pytest.mark.django_db
def test_circle_of_ever_new_rows_ends_as_a_dead_letter():
    Label.objects.create(key="ball", text="x")
    drain()
    assert Call.objects.count() == 5
    assert sorted(Call.objects.values_list("depth", flat=True)) == [0, 1, 2, 3, 4]
    dead = Delivery.objects.get(state="dead")
    assert "5 reactions have set off each other: newsroom.pong (ball) -> newsroom.ping" in dead.error


@pytest.mark.django_db
def test_setting_of_somebody_else_breaks_nothing(calls):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pgknowbase.reaction', 'no json [', true)")
    Story.objects.create(body="a")
    drain()
    assert len(calls("analyse")) == 1
