"""A worker is killed before each statement, within each COPY, and before and after each commit; another one finishes.

Of a statement that comes again and again, with other rows, the first run counts; of commits and rows all do.

Each death is a SIGKILL of a forked process, so nothing of it runs on. Its connection ends as that of any dead process.
"""

import itertools
import os
import signal
import sys
import time
import traceback
import warnings

import pytest
from django.db import connection, transaction

from pgknowbase.core import gateway
from pgknowbase.errors import PermanentEmbeddingError
from pgknowbase.models import EmbeddingSpace, Expansion, ExternalData, OutboxEvent
from pgknowbase.testing import LexicalEmbedder, assert_in_sync, drain, make_due
from pgknowbase.worker import Worker
from pgknowbase.worker import loop as worker_loop
from tests.projects.press.models import Article, Author, Cell, Comment, Page, Slip
from tests.reliability.oracle import fingerprint, rows

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = 10**9
HELD = []
SAVED = """
SELECT format('%%I.%%I', n.nspname, c.relname), string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND (n.nspname = 'public' AND c.relname ~ '^(press|pgknowbase)_' OR n.nspname = 'ai' OR n.nspname = %s)
GROUP BY 1
"""
STATES = "SELECT object_key, status, error, chunk_count FROM pgknowbase_externaldata"


class Refusing(LexicalEmbedder):
    def embed_documents(self, texts):
        if any("refused" in text for text in texts):
            raise PermanentEmbeddingError("refused")
        return super().embed_documents(texts)


@pytest.fixture(autouse=True)
def _refusing(monkeypatch):
    """Every executor refuses one of the texts, so that setting it aside has points of its own."""

    class Executor(worker_loop.Executor):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.embedder = Refusing(dimensions=256)

    monkeypatch.setattr(worker_loop, "Executor", Executor)


def prepare():
    """An index in step with some rows, and then changes of every kind."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE press_article, press_page, press_slip, press_cell CASCADE")
        cursor.execute("TRUNCATE pgknowbase_outbox, pgknowbase_expansion, pgknowbase_externaldata, pgknowbase_document")
    author, _ = Author.objects.update_or_create(pk=1, defaults={"name": "old name"})
    Article.objects.bulk_create(
        [Article(pk=n, title=f"title {n}", body=f"body {n} " * 8, author=author) for n in range(1, 7)]
    )
    Article.objects.bulk_create([Article(pk=7, title="long", body=". ".join(f"sentence {n}" for n in range(150)))])
    Slip.objects.bulk_create([Slip(key=f"slip {n}", text=f"text {n}") for n in range(3)])
    Cell.objects.create(row=1, column="a", text="cell")
    drain()
    assert_in_sync(Article, Page, Slip, Cell)
    Article.objects.filter(pk__in=[1, 2]).update(body="another body")
    Article.objects.filter(pk=3).update(author=None, category=None, body="refused")
    Article.objects.filter(pk=4).delete()
    Author.objects.update(name="new name")
    Comment.objects.create(article_id=6, body="a comment")
    Article.objects.filter(pk=5).update(hidden=True)
    Article.objects.filter(pk=7).update(body=". ".join(f"sentence {n}" for n in range(100, 260)))
    Article.objects.bulk_create([Article(pk=n, title="new", body=f"new {n}") for n in (8, 9)])
    Slip.objects.filter(key="slip 1").update(key="slip 9")
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE press_cell")


@pytest.fixture
def again():
    """Brings back what the database holds now, which is quicker than to make it anew; no trigger sees it."""
    space = EmbeddingSpace.objects.get(is_active=True)
    steps = ["SET LOCAL session_replication_role = replica"]
    with connection.cursor() as cursor:
        prepare()
        cursor.execute("CREATE SCHEMA saved")
        cursor.execute(SAVED, [space.store_schema])
        for number, (table, columns) in enumerate(cursor.fetchall()):
            cursor.execute(f"CREATE TABLE saved.t{number} AS SELECT {columns} FROM {table}")
            cursor.execute(f"SELECT EXISTS (SELECT FROM saved.t{number})")
            steps.append(f"DELETE FROM {table}")
            if cursor.fetchone() == (True,):
                insert = f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
                steps.append(f"{insert} SELECT {columns} FROM saved.t{number}")

    def restore():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("; ".join(steps))

    yield restore
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA saved CASCADE")


def die_at(point):
    """Count the points of this process's work, and die at one of them. Returns what counts."""
    passed = [0]
    met = set()

    def here():
        passed[0] += 1
        if passed[0] > point:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def statement(execute, sql, params, many, context):
        if sql not in met:
            met.add(sql)
            here()
        return execute(sql, params, many, context)

    def commit(plain=connection._commit):
        here()
        plain()
        here()

    def copy(using, schema, table, storage, oid, chunks, plain=gateway.copy_chunks):
        here()
        plain(using, schema, table, storage, oid, (row for row in chunks if here() is None))
        here()

    connection.ensure_connection()
    connection._commit = commit
    gateway.copy_chunks = copy
    connection.execute_wrappers.append(statement)
    return passed


def work_and_die(point):
    """A worker in a process of its own: the points that it passed, or None if it died."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads
        child = os.fork()
    if child == 0:
        try:
            # Its own connection. That of the tests, with its plans, is not used, nor closed by being forgotten.
            HELD.append(connection.connection)
            connection.connection = None
            passed = die_at(point)
            Worker(batch_size=8).run_until_idle()
            os.write(writing, str(passed[0]).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing may leave the fork
            sys.__stderr__.write(traceback.format_exc())
            os._exit(3)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.WEXITSTATUS(status) == 0
    return int(told)


def await_end_of_other_connections():
    others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    others += " AND backend_type = 'client backend'"
    deadline = time.monotonic() + 30
    while rows(others):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def outcome():
    """What the index holds once everything is worked off by another worker."""
    await_end_of_other_connections()
    make_due()
    drain()
    assert not OutboxEvent.objects.exists()
    assert not Expansion.objects.exists()
    assert ExternalData.objects.get(status="failed").object_key == "3"
    return fingerprint(), sorted(rows(STATES))


def test_death_at_every_point(capsys, again):
    points = work_and_die(NEVER)
    untouched = outcome()
    assert_in_sync(Article, Page, Slip, Cell)
    assert points > 50
    for point in itertools.count():
        again()
        survived = work_and_die(point) is not None
        assert outcome() == untouched, f"killed at point {point}"
        if survived:
            break
    # A run may take a statement more or less than another, as its threads meet.
    assert point > points - 10
    with capsys.disabled():
        sys.stdout.write(f"\nkilled at each of {point} points\n")
