"""Claims find the next documents, and only by index."""

import pytest
from django.db import connection, transaction

from pgknowbase.models import Document
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.spaces import active_space
from tests.blog.models import Note
from tests.vectorizer.test_executor import queue, sql

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
