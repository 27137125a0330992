"""Metrics for Prometheus: who may read them, and that each line is as its format says."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import path
from django.utils import timezone

from pgknowbase.api.metrics import metrics
from pgknowbase.models import ExternalData, ProviderOutage
from pgknowbase.search.measured import search_counts
from tests.integration.api.conftest import grant, token_of
from tests.projects.blog.models import Article
from tests.urls import urlpatterns as others

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [*others, path("any/metrics", metrics)]
SAMPLE = re.compile(r'(\w+)(\{(?:\w+="(?:[^"\\\n]|\\.)*",?)*\})? (-?[\d.e+-]+)')


def ask(secret=None, user=None, method="get"):
    client = Client()
    if user is not None:
        client.force_login(user)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return getattr(client, method)("/any/metrics", headers=headers)


def read(response):
    """Samples by name and labels; each line must be of the format, and each name be described once before."""
    assert response.status_code == 200, response.content
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    described, samples = [], {}
    for line in response.content.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("gauge", "counter")
            described.append(name)
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == described[-1]
            samples[f"{name}{labels or ''}"] = float(value)
    assert len(described) == len(set(described))
    return samples


def test_figures(users, index, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "COSTS": {"CAPS": [{"TOKENS": 1000, "PER": "day"}]}}
    Article.objects.create(title="a", body="near 0.9")
    index()
    Article.objects.create(title="b", body="near 0.8")
    ExternalData.objects.update(status="failed", retry_at=None)
    provider = 'odd "host"\n\\'
    now = timezone.now()
    outage = {"failing_since": now, "paused_until": now, "executor": uuid4(), "is_throttled": False}
    ProviderOutage.objects.create(provider=provider, model="m", failures=3, **outage)
    before = search_counts.read().get(("dense", ""), 0)
    list(Article.objects.semantic_search("near 1.0"))
    samples = read(ask(token_of(users["root"], "status")))
    of = '{source="blog.article"}'
    assert samples[f"pgknowbase_outbox_changes{of}"] == 1
    assert samples[f"pgknowbase_lag_seconds{of}"] > 0
    assert samples['pgknowbase_objects{source="blog.article",state="failed"}'] == 1
    assert samples[f"pgknowbase_dead_objects{of}"] == 1
    assert samples['pgknowbase_queue_documents{space="default"}'] == 0
    assert samples["pgknowbase_workers"] == 0
    assert samples['pgknowbase_provider_failures{provider="odd \\"host\\"\\n\\\\",model="m"}'] == 3
    assert samples['pgknowbase_cost_today_dollars{model="wordllama-256"}'] == 0
    assert samples['pgknowbase_tokens_today{model="wordllama-256"}'] > 0
    ((_, cap),) = [each for each in samples.items() if each[0].startswith("pgknowbase_cap_used_ratio")]
    assert cap > 0
    ((_, searches),) = [
        each for each in samples.items() if each[0].startswith('pgknowbase_searches_total{mode="dense",plan="",')
    ]
    assert searches == before + 1


def test_searches_by_plan(users, index, settings):
    Article.objects.create(title="a", body="near 0.9", year=2020)
    index()
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "TELEMETRY": {"RECORD_PLANS": True}}
    before = search_counts.read().get(("dense", "exact_filtered"), 0)
    list(Article.objects.filter(year=2020).semantic_search("near 1.0"))
    assert search_counts.read()["dense", "exact_filtered"] == before + 1
    assert any('plan="exact_filtered"' in name for name in read(ask(token_of(users["root"], "status"))))


def test_who_may_read_them(users):
    staff = grant(users["staff"], "pgknowbase.view_externaldata")
    keeper = grant(users["keeper"], "pgknowbase.view_externaldata")
    for allowed in ({"user": users["root"]}, {"user": staff}, {"secret": token_of(keeper, "status")}):
        assert ask(**allowed).status_code == 200
    assert ask(user=staff, method="head").status_code == 200
    refused = {
        401: [{}, {"user": keeper}, {"secret": "wrong"}, {"secret": "wrong", "user": staff}],
        403: [{"secret": token_of(keeper, "search")}, {"secret": token_of(users["ann"], "status")}],
        405: [{"user": staff, "method": "post"}],
    }
    for status, people in refused.items():
        for one in people:
            assert ask(**one).status_code == status, (status, one)
