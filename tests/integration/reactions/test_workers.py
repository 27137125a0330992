"""Reactions in worker processes: they may be killed at any time, and never run twice at once for a row."""

import signal

import pytest

from pgknowbase.models import Delivery, ReactionEvent
from tests.integration.worker.test_processes import wait_for
from tests.projects.newsroom.models import Call, Story

pytestmark = pytest.mark.django_db(transaction=True)
SLOW = {"NEWSROOM_SLEEP": "60"}


def test_run_that_died_with_its_worker_begins_again_with_its_key(manage, alone):
    story = Story.objects.create(body="sleep")
    first = manage("pgknowbase_worker", "--relay-only", **SLOW)
    wait_for(lambda: Call.objects.exists(), 60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert Delivery.objects.get().state == "running"
    quick = {"PGKNOWBASE_TEST_WORKER": '{"HEARTBEAT_TIMEOUT": 1}', "NEWSROOM_SLEEP": "0"}
    second = manage("pgknowbase_worker", "--relay-only", **quick)
    wait_for(lambda: Delivery.objects.filter(state="done").exists(), 60)
    calls = Call.objects.order_by("pk")
    assert [(call.attempt, call.ended) for call in calls] == [(1, False), (2, True)]
    assert len({call.idempotency_key for call in calls}) == 1
    second.send_signal(signal.SIGTERM)
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "reactions: 1 done" in out
    story.refresh_from_db()
    assert story.summary == "SLEEP"


def test_sigterm_lets_a_run_end(manage, alone):
    Story.objects.create(body="sleep")
    worker = manage("pgknowbase_worker", "--relay-only", NEWSROOM_SLEEP="2")
    wait_for(lambda: Call.objects.exists(), 60)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert Delivery.objects.get().state == "done"


def test_two_workers_run_once_for_a_row_and_share_the_rows(manage, alone):
    stories = Story.objects.bulk_create([Story(body=f"sleep {n}") for n in range(12)])
    workers = [manage("pgknowbase_worker", "--relay-only", NEWSROOM_SLEEP="0.3") for _ in range(2)]
    wait_for(lambda: Call.objects.exists(), 60)
    for n in range(20):
        Story.objects.filter(pk=stories[0].pk).update(body=f"sleep again {n}")
        assert Delivery.objects.filter(state="running", object_key=stories[0].pk).count() <= 1
    wait_for(lambda: not ReactionEvent.objects.exists(), 60)
    wait_for(lambda: not Delivery.objects.filter(state__in=["pending", "running"]).exists(), 60)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.communicate(timeout=60)[1] == ""
    assert not Call.objects.filter(ended=False).exists()
    others = Call.objects.exclude(object_key=stories[0].pk)
    assert sorted(others.values_list("object_key", flat=True)) == sorted(str(story.pk) for story in stories[1:])
