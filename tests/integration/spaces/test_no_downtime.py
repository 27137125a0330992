"""Searches go on, and are right, while spaces are added, filled, activated, rolled back and dropped."""

import threading
import time
from collections import Counter

import psycopg
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from pgknowbase.core import gateway
from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.embeddings import get_embedder, serving
from pgknowbase.models import ExternalData
from pgknowbase.search.filters import Filters
from pgknowbase.search.queries import Page
from pgknowbase.testing import assert_in_sync, make_due
from tests.integration.spaces.conftest import (
    assert_space_in_sync,
    in_thread,
    space,
    space_command,
    work,
    worker_running,
)
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = ["harbour", "violin", "granite", "meadow", "lantern", "copper", "thistle", "orchard", "beacon", "saddle"]


def lasting():
    """Rows that nobody changes; each is the best answer to its own text in every space, unless spaces are mixed."""
    rows = [
        Article(title=f"{first} {second}", body=f"The {first} near the {second}, number {n}.")
        for n, (first, second) in enumerate((a, b) for a in WORDS[:5] for b in WORDS[5:])
    ]
    return Article.objects.bulk_create(rows)


def text_of(row):
    """What is embedded of it."""
    document = row.external_data.document
    return f"{document.title}\n{document.content}"


def assert_found(row, text):
    found = list(Article.objects.semantic_search(text, limit=3, threshold=-1))
    assert found[0].pk == row.pk, [(one.pk, one.similarity) for one in found]
    assert found[0].similarity > 0.99, found[0].similarity


def test_whole_procedure_under_searches_and_writes():
    rows = lasting()
    work()
    texts = {row: text_of(row) for row in rows}
    searches = Counter()

    def search(ended):
        while not ended.is_set():
            for row, text in texts.items():
                assert_found(row, text)
                searches["plain"] += 1
                ended.wait(0.05)  # leaves others time to work
            with transaction.atomic():
                assert_found(rows[0], texts[rows[0]])

    def write(ended):
        number = 0
        while not ended.is_set():
            number += 1
            row = Article.objects.create(title=f"passing {number}", body="words that change " * (number % 30 + 1))
            passing = Article.objects.filter(title__startswith="passing")
            passing.filter(pk__in=[row.pk - 6, row.pk - 12]).update(body=f"changed {number}")
            if number % 3 == 0:
                passing.filter(pk__lt=row.pk - 20).delete()
            ended.wait(0.05)

    def meanwhile():
        """Wait until others have searched some more."""
        deadline, before = time.monotonic() + 60, searches["plain"]
        while searches["plain"] < before + 25 and time.monotonic() < deadline:
            time.sleep(0.01)

    with in_thread(search), in_thread(search), in_thread(write), worker_running():
        for name in ("next", "turned"):
            space_command("add", name)
            space_command("fill", name)
            space_command("activate", name)
            assert space(name).is_active
            meanwhile()
            space_command("rollback")
            assert space("default").is_active
            meanwhile()
            space_command("rollback")
            assert space(name).is_active
            space_command("activate", "default")
        space_command("activate", "next")
        space_command("drop", "turned", yes=True)
        meanwhile()
    assert searches["plain"] > 100
    make_due()
    work()
    assert_in_sync(Article)
    assert_space_in_sync("next")
    assert_space_in_sync("default")
    assert set(ExternalData.objects.values_list("status", flat=True)) == {"completed"}


def test_search_that_waits_for_an_activation_does_not_mix():
    """Its snapshot is older than the activation, the view that it reads is not."""
    rows = lasting()
    work()
    space_command("add", "turned")
    space_command("fill", "turned", here=True)
    text = text_of(rows[7])
    assert_found(rows[7], text)
    statements = []

    def search(ended):
        with connections["default"].execute_wrapper(lambda run, *call: (statements.append(call[0]), run(*call))[1]):
            assert_found(rows[7], text)

    with (
        psycopg.connect(_conninfo("default")) as other,
        psycopg.connect(_conninfo("default"), autocommit=True) as watcher,  # in a transaction activity is read once
    ):
        other.execute("SELECT pgknowbase_space_activate_v1(%s)", [space("turned").pk])
        with in_thread(search) as failures:
            deadline = time.monotonic() + 30
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%serves%'"
            while not watcher.execute(waiting).fetchone()[0] and not failures:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            other.commit()
    assert len([one for one in statements if "search_dense" in one]) == 2


def test_same_model_of_another_backend_is_not_taken_for_the_same():
    rows = lasting()
    work()
    text = text_of(rows[3])
    space_command("add", "turned")
    space_command("fill", "turned", here=True)
    assert_found(rows[3], text)
    space_command("activate", "turned")
    assert_found(rows[3], text)
    assert serving._last_active["default"].embedding == "turned"
    vector = str(list(get_embedder("default").embed_query(text)))
    stale = gateway.fetch(
        "default",
        "search_dense",
        space=space("default").pk,
        vector=vector,
        **Page(3).params(Filters(threshold=-1)),
        exact_search_max_chunks=100,
        space_model=None,
    )
    assert [row[0] for row in stale] == [False]


def test_search_looks_for_the_space_only_when_it_has_changed():
    rows = lasting()
    work()

    def looks(text):
        with CaptureQueriesContext(connections["default"]) as captured:
            list(Article.objects.semantic_search(text, threshold=-1))
        found = [query["sql"] for query in captured]
        assert sum("search_dense" in one for one in found) >= 1
        return sum("FROM pgknowbase_space AS s" in one for one in found)

    list(Article.objects.semantic_search("granite", threshold=-1))
    assert looks("violin") == 0
    with transaction.atomic():
        assert looks("copper") == 0
    space_command("add", "turned")
    space_command("fill", "turned", here=True)
    space_command("activate", "turned")
    with transaction.atomic():
        assert looks("beacon") == 1
    assert looks("saddle") == 0
    assert rows


def test_worker_follows_the_activation():
    lasting()
    work()
    space_command("add", "next")
    with worker_running():
        space_command("fill", "next")
        space_command("activate", "next")
        row = Article.objects.create(title="late", body="written after the activation")
        deadline = time.monotonic() + 60
        while row.external_data_status != "completed" and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        assert row.external_data_status == "completed"
    work()
    assert_space_in_sync("default")
    assert_space_in_sync("next")
