"""The workers in the admin."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pgknowbase.models import RecallMeasurement, RenderCost, WorkerHeartbeat
from pgknowbase.worker.heartbeat import Heartbeat

pytestmark = pytest.mark.django_db
LIST = "admin:pgknowbase_workerheartbeat_changelist"
DETAIL = "admin:pgknowbase_workerheartbeat_change"


@pytest.fixture
def beat(db):
    def make(role=WorkerHeartbeat.Role.BOTH):
        heart = Heartbeat("default", role, lambda: (4, 3, 2))
        heart.beat()
        return WorkerHeartbeat.objects.get(pk=heart.worker)

    return make


def test_list_shows_the_workers(root, beat):
    beat()
    busy = beat(WorkerHeartbeat.Role.RELAY)
    WorkerHeartbeat.objects.filter(pk=busy.pk).update(
        lease=timezone.now(), beat_at=timezone.now() - timedelta(minutes=7)
    )
    page = root.get(reverse(LIST)).content.decode()
    assert str(busy) in page
    assert "Embedding" in page
    assert "Idle" in page
    assert "7\xa0minutes ago" in page
    assert root.get(reverse(LIST), {"role": "relay"}).content.decode().count('class="field-heartbeat_age') == 1


def test_detail_cannot_be_changed(root, beat):
    worker = beat()
    page = root.get(reverse(DETAIL, args=[worker.pk])).content.decode()
    assert str(worker) in page
    assert 'name="_save"' not in page


def test_list_needs_no_query_per_worker(root, beat):
    beat()
    with CaptureQueriesContext(
        connection,
    ) as few:
        root.get(reverse(LIST))
    for _ in range(5):
        beat()
    with CaptureQueriesContext(connection) as many:
        root.get(reverse(LIST))
    assert len(many) == len(few)


def test_rendering_costs(root):
    cost = RenderCost.objects.create(
        source="blog.Article",
        rows=50,
        seconds=0.1,
        statements=25,
        slowest_hook="get_external_title",
        slowest_share=0.5,
        querying_hook="get_external_tags",
        querying_statements=0.5,
    )
    page = root.get(reverse("admin:pgknowbase_rendercost_changelist")).content.decode()
    assert "2.000" in page
    assert "0.50" in page
    assert "get_external_tags" in page
    page = root.get(reverse("admin:pgknowbase_rendercost_change", args=[cost.pk])).content.decode()
    assert "blog.Article" in page


def test_recall_measurements(root):
    made = RecallMeasurement.objects.create(
        space="default",
        model="blog.Article",
        filter='metadata {"year": 2026}',
        selectivity=0.125,
        passing=5,
        queries=100,
        max_hits=10,
        ef_search=100,
        recall=0.98765,
        milliseconds=1.5,
        exact_milliseconds=70,
        target=0.99,
        needed=140,
    )
    page = root.get(reverse("admin:pgknowbase_recallmeasurement_changelist")).content.decode()
    assert "12.5 %" in page
    assert "98.77 %" in page
    assert "1.5 (exact 70.0)" in page
    page = root.get(reverse("admin:pgknowbase_recallmeasurement_change", args=[made.pk])).content.decode()
    assert "metadata {&quot;year&quot;: 2026}" in page
    assert 'name="_save"' not in page
