"""What was written lately is merged into the index of words, whose list of it each search for a new word reads."""

import pytest

from pgknowbase.worker import Worker, loop
from tests.integration.keywords.conftest import sql
from tests.projects.blog.models import Article


def pages_that_wait():
    return sql("SELECT gin_clean_pending_list('pgknowbase_keywords_words')")[0][0]


def write(count):
    Article.objects.bulk_create([Article(title=f"Number {n}", body=f"word{n} text") for n in range(count)])


@pytest.mark.django_db(transaction=True)
def test_worker_merges_once_nothing_waits(monkeypatch):
    monkeypatch.setattr(loop, "MERGED_WHEN_IDLE", 20)
    Worker(relay_only=True).run_until_idle()
    pages_that_wait()
    write(19)
    worker = Worker(relay_only=True)
    worker.run_until_idle()
    assert pages_that_wait() > 0
    # With those of before there are enough.
    write(1)
    worker.run_until_idle()
    write(19)
    worker.run_until_idle()
    assert pages_that_wait() > 0
    write(1)
    worker.run_until_idle()
    assert pages_that_wait() == 0


@pytest.mark.django_db
def test_role_that_does_not_own_the_index_leaves_it():
    assert sql("SELECT pgknowbase_keywords_merge_v1() IS NOT NULL") == [(True,)]
    sql("CREATE ROLE pgknowbase_merge_test")  # gone with the transaction
    sql("SET LOCAL ROLE pgknowbase_merge_test")
    assert sql("SELECT pgknowbase_keywords_merge_v1()") == [(None,)]
