"""A search that finds nothing says why."""

import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from pgknowbase.models import ExternalData, OutboxEvent, WorkerHeartbeat
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def articles(drain):
    OutboxEvent.objects.all().delete()
    made = Article.objects.bulk_create([Article(title=f"bread {n}", body="flour and water") for n in range(3)])
    drain()
    return made


def test_below_the_threshold(articles):
    best = Article.semantic_search("baking bread", threshold=-1)[0].similarity
    shown = Article.objects.semantic_search("baking bread", threshold=0.99).explain_search()
    assert (shown.found, shown.nothing.passing, shown.nothing.hidden) == (0, 3, 0)
    assert shown.nothing.best == pytest.approx(best)
    assert f"3 objects pass the filters, and each lies below the threshold of 0.99: the best has {best:.3f}" in str(
        shown
    )
    ExternalData.objects.update(similarity_threshold=1.0)
    assert "its own threshold" in str(Article.objects.semantic_search("baking bread").explain_search())


def test_not_visible(articles):
    ExternalData.objects.update(is_public=False)
    shown = Article.objects.semantic_search("bread", visible_to=AnonymousUser()).explain_search()
    assert (shown.nothing.passing, shown.nothing.hidden) == (0, 3)
    assert "3 more would pass, but the viewer may not see them" in str(shown)


def test_not_embedded_and_not_taken(articles):
    ExternalData.objects.all().delete()
    assert "run 'manage.py sync_external_models'" in str(Article.objects.semantic_search("bread").explain_search())
    Article.objects.update(title="cake")
    shown = Article.objects.semantic_search("cake").explain_search()
    assert shown.nothing.changes > 0
    assert "wait for a worker" in str(shown)
    assert Note.objects.semantic_search("cake").explain_search().nothing.changes == 0


def test_filters_leave_out_everything(articles):
    shown = Article.objects.semantic_search("bread", tags=["cheese"]).explain_search()
    assert str(shown).endswith("Nothing found: the filters leave out all 3 objects that the index has.")


def test_no_worker(articles):
    Article.objects.update(title="cake")
    ExternalData.objects.all().delete()
    search = Article.objects.semantic_search("cake")
    assert "no worker is running: start 'manage.py pgknowbase_worker'" in str(search.explain_search())
    now = timezone.now()
    beat = WorkerHeartbeat.objects.create(id=uuid4(), host="h", pid=1, role="both", started_at=now, beat_at=now)
    assert "no worker" not in str(search.explain_search())
    WorkerHeartbeat.objects.filter(pk=beat.pk).update(beat_at=now - timedelta(hours=1))
    assert "no worker is running" in str(search.explain_search())


def test_what_is_found_has_no_reason(articles):
    assert Article.objects.semantic_search("bread").explain_search().nothing is None


def test_log(articles, caplog):
    caplog.set_level(logging.INFO, "pgknowbase.search")
    assert list(Article.objects.semantic_search("bread", threshold=0.99)) == []
    assert "each lies below the threshold of 0.99" in caplog.text
    caplog.clear()
    assert list(Article.objects.semantic_search("bread", threshold=-1))
    assert "Nothing found" not in caplog.text


@pytest.mark.parametrize("mode", ["keyword", "semantic", "hybrid"])
def test_each_mode_has_a_reason(articles, mode):
    ExternalData.objects.update(is_active=False)
    shown = ExternalData.objects.search("zebra", mode=mode).explain_search()
    assert str(shown).splitlines()[-1].startswith("Nothing found: ")
