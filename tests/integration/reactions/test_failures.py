"""A run that fails is tried again, then set aside; the others go on, and each try has the change's own key."""

from datetime import timedelta

import pytest
from django.db import connection, connections

from pgknowbase.core import gateway
from pgknowbase.errors import ReactionCancelledError
from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.operations.status import reaction_statuses
from pgknowbase.reactions.reactor import Reactor
from pgknowbase.testing import drain, make_due
from tests.projects.newsroom.models import Shift, Story, Ticket

pytestmark = pytest.mark.django_db


def exhaust():
    for _ in range(3):
        make_due()
        drain()


def test_failing_run_becomes_a_dead_letter_and_others_go_on(calls):
    bad, good, query = Story.objects.bulk_create([Story(body="explode"), Story(body="fine"), Story(body="badquery")])
    exhaust()
    good.refresh_from_db()
    assert good.summary == "FINE"
    dead = Delivery.objects.filter(state="dead")
    assert {d.object_key: d.attempts for d in dead} == {str(bad.pk): 3, str(query.pk): 3}
    assert dead.get(object_key=bad.pk).error.startswith("RuntimeError: told to explode \N{REPLACEMENT CHARACTER} by")
    assert "tests/projects/newsroom/reactions.py" in dead.get(object_key=bad.pk).error
    assert "no_such_column" in dead.get(object_key=query.pk).error


def test_each_try_waits_longer(state, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REACTIONS": {"RETRY": {"DELAY": 100, "MAX_DELAY": 300}}}
    Story.objects.create(body="explode")
    delays = []
    for _ in range(4):
        drain()
        delivery = Delivery.objects.get()
        assert delivery.state == "pending"
        delays.append(round((delivery.due_at - delivery.started_at).total_seconds(), -1))
        drain()
        assert Delivery.objects.get().attempts == delivery.attempts, "not before it is due"
        make_due()
    assert delays == [100, 200, 300, 300]


def test_key_stays_over_tries_and_changes_with_the_change(calls, state):
    story = Story.objects.create(body="a")
    seen = []
    state["during"] = lambda change: seen.append((change.attempt, change.idempotency_key))
    state["fail"] = {story.pk}
    drain()
    make_due()
    drain()
    Story.objects.update(body="b")
    state["fail"] = set()
    drain()
    *tries, last = seen
    assert [attempt for attempt, _ in tries][:2] == [1, 2]
    assert last[0] == 1
    assert {key for _, key in tries} == {tries[0][1]} != {last[1]}
    assert Delivery.objects.get().state == "done"


def test_retry_by_hand(state):
    story = Story.objects.create(body="a")
    state["fail"] = {story.pk}
    exhaust()
    dead = Delivery.objects.get(state="dead")
    state["fail"] = set()
    drain()
    assert Delivery.objects.get().state == "dead", "not by itself"
    assert gateway.fetch_value("default", "delivery_retry", deliveries=[dead.pk]) == 1
    drain()
    again = Delivery.objects.get()
    assert (again.state, again.attempts, again.idempotency_key) == ("done", 1, dead.idempotency_key)


def test_cancelled_run_has_ended_and_is_no_success(state):
    story = Story.objects.create(body="a")
    state["fail"] = {story.pk}
    exhaust()

    def cancel(change):
        raise ReactionCancelledError("Somebody stopped it: change the row.")

    state["fail"], state["during"] = set(), cancel
    Story.objects.update(body="b")
    exhaust()
    dead, cancelled = Delivery.objects.order_by("pk")
    assert (dead.state, cancelled.state, cancelled.attempts) == ("dead", "cancelled", 1)
    assert cancelled.error == "ReactionCancelledError: Somebody stopped it: change the row."
    assert gateway.fetch_value("default", "delivery_retry", deliveries=[cancelled.pk]) == 0
    counted = next(each for each in reaction_statuses("default") if each.reaction == cancelled.reaction)
    assert (counted.dead, counted.cancelled, counted.done, counted.pending) == (1, 1, 0, 0)
    Delivery.objects.update(finished_at=cancelled.finished_at - timedelta(days=400))
    Reactor("default", worker=None).run_once()
    assert list(Delivery.objects.all()) == [dead]


def test_success_supersedes_the_dead_letter_of_the_row(state):
    story = Story.objects.create(body="a")
    state["fail"] = {story.pk}
    exhaust()
    state["fail"] = set()
    Story.objects.update(body="b")
    drain()
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["done", "superseded"]


def test_failure_of_a_run_that_a_newer_change_waits_behind(state, calls):
    story = Story.objects.create(body="explode")
    reactor = Reactor("default", worker=None)

    def during(change):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT current_setting('pgknowbase.reaction', true)")
            (connection_chain,) = cursor.fetchone()
        gateway.fetch("default", "set_reaction_chain", chain="")  # somebody else
        Story.objects.filter(pk=story.pk).update(body="newer")
        gateway.fetch("default", "set_reaction_chain", chain=connection_chain)
        raise RuntimeError("after a change")

    state["during"] = during
    # The savepoint of the failed run would take the change along, so it is put into the outbox as the trigger would.
    reactor.run_once()
    ReactionEvent.objects.create(reaction="newsroom.analyse", object_keys=[str(story.pk)], op="U")
    first = Delivery.objects.get()
    assert (first.state, first.attempts) == ("pending", 1)
    state["during"] = None
    Story.objects.filter(pk=story.pk).update(body="newer")
    drain()
    done = Delivery.objects.get()
    assert (done.state, done.attempts) == ("done", 1)
    assert done.idempotency_key != first.idempotency_key


def test_timeout_and_attempts_of_its_own():
    Shift.objects.create(at="2026-03-01T12:00:00Z", text="endless")
    drain()
    dead = Delivery.objects.get()
    assert (dead.state, dead.attempts) == ("dead", 1)
    assert dead.error.startswith("ReactionTimeoutError: The run took longer")


def test_condition_is_asked_again_when_a_try_begins(state, calls):
    story = Story.objects.create(body="a")
    state["fail"] = {story.pk}
    drain()
    Story.objects.update(status="published")
    ReactionEvent.objects.all().delete()
    make_due()
    drain()
    assert not Delivery.objects.exists()


def test_condition_that_cannot_be_asked_is_a_failure(monkeypatch):
    from django.db.models import Q

    from pgknowbase.reactions.registry import reactions

    monkeypatch.setitem(vars(reactions()["newsroom.analyse"]), "condition", Q(no_such_field=1))
    Story.objects.create(body="a")
    Ticket.objects.create(text="b")
    exhaust()
    assert {d.reaction: d.state for d in Delivery.objects.all()} == {
        "newsroom.analyse": "dead",
        "newsroom.tickets": "done",
    }


def test_old_runs_are_pruned(settings):
    Ticket.objects.create(text="a")
    drain()
    assert Delivery.objects.filter(state="done").count() == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_delivery SET finished_at = now() - interval '8 days'")
    drain()
    assert not Delivery.objects.exists()
