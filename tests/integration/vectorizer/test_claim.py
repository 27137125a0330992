"""Claims find the next documents, and only by index."""

import pytest
from django.db import connection, transaction

from pgknowbase.models import Document
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from pgknowbase.vectorizer.executor import Executor
from tests.integration.vectorizer.test_executor import queue, sql
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


def write(count):
    Note.notes.bulk_create([Note(text=f"note {number}") for number in range(count)])
    while not Relay().run_once().idle:
        pass


def scanned():
    """How often this transaction has read the tables from end to end."""
    space = active_space("default")
    tables = ["pgknowbase_document", "pgknowbase_externaldata", f"_vectorizer_q_{space.vectorizer_id}"]
    found = sql(
        "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname = ANY (%s)", [*tables, space.store_table]
    )
    assert len(found) == 4
    return dict(found)


def test_no_table_is_read_from_end_to_end(provider):
    write(1500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with Executor(batch_size=100) as executor:
        executor.embedder = provider
        executor.run_once()
        Note.notes.update(text="changed")
        with transaction.atomic():
            before = scanned()
            assert executor.run_once().written == 100
            assert Relay().run_once().report.updated == 500
            assert scanned() == before


def make_backfill(count, *, age="0"):
    """Turns the oldest items of the queue into those of a backfill, queued so long ago."""
    table = f"ai._vectorizer_q_{active_space('default').vectorizer_id}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET backfill = true, loading_retry_after = 'epoch', queued_at = now() - %s::interval"
            f" WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} ORDER BY queued_at, id LIMIT %s))",
            [age, count],
        )


def test_a_backfill_has_an_eighth_of_each_batch(provider):
    """However much is written meanwhile; what it leaves is for fresh documents, and the other way round."""
    write(400)
    make_backfill(20)
    with Executor(batch_size=80) as executor:
        taken = [[document.backfill for document in executor.leases.take(80)] for _ in range(5)]
    assert [sum(batch) for batch in taken] == [10, 10, 0, 0, 0]
    assert [len(batch) for batch in taken] == [80] * 5


def test_documents_that_are_tried_again_do_not_wait_for_the_end_of_a_backfill(provider):
    write(300)
    make_backfill(250)
    with Executor(batch_size=80) as executor:
        taken = executor.leases.take(80)
        fresh = [document for document in taken if not document.backfill]
        assert len(fresh) == 50
        executor.leases.release(fresh, delay=0.0, attempt=True)
        taken = [[document.attempts for document in executor.leases.take(80)] for _ in range(2)]
    assert [sum(batch) for batch in taken] == [10, 10]
    assert [len(batch) for batch in taken] == [80, 80]


def test_small_batches_come_to_a_backfill_that_waits(provider):
    write(150)
    make_backfill(2)
    with Executor(batch_size=1) as executor:
        assert not any(document.backfill for _ in range(40) for document in executor.leases.take(1))
        make_backfill(2, age="2 minutes")
        found = [document.backfill for _ in range(100) for document in executor.leases.take(1)]
    assert any(found)  # 100 draws of one in eight are all in vain once in 600,000 runs


def test_items_without_a_document_take_no_place(provider):
    write(3)
    first, second = (key for key, _ in queued()[:2])
    Document.objects.filter(id__in=[first, second]).delete()
    with Executor(batch_size=1) as executor:
        executor.embedder = provider
        assert executor.run_once().written == 1
        assert executor.run_once().idle
    assert queue() == []


def queued():
    return sql(
        f"SELECT id, queued_at FROM ai._vectorizer_q_{active_space('default').vectorizer_id} ORDER BY queued_at, id"
    )
