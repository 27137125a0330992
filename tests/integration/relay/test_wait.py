"""A relay that waits for work waits at the server, and is in nobody's way there."""

import threading
import time

import pytest
from django.db import connection, connections, transaction

from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 3600.0
LIMITS = {"statement_timeout": "2s", "log_min_duration_statement": "50ms", "log_min_duration_sample": "50ms"}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


def value(query, *params):
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchone()[0]


@pytest.fixture
def waiting():
    """A relay that waits on a thread of its own; its batches."""
    batches = []

    def wait():
        batches.append(Relay().run_once(wait=LONG))
        connections.close_all()

    thread = threading.Thread(target=wait)
    thread.start()
    while not value(WAITING):
        time.sleep(0.01)
    yield batches
    Note.notes.create(text="the last one")
    thread.join()


def test_ends_with_the_first_event(waiting):
    Note.notes.create(text="a")
    while not waiting:
        time.sleep(0.01)
    assert waiting[0].report.created == 1


def test_holds_neither_locks_nor_a_snapshot(waiting):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '20s'")
        cursor.execute("LOCK TABLE pgknowbase_outbox, pgknowbase_externaldata IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SELECT pg_current_xact_id()::xid::text")
        (ended,) = cursor.fetchone()
    while not value(f"{WAITING} AND (backend_xmin IS NULL OR age(backend_xmin) < age(%s::xid))", ended):
        time.sleep(0.01)
    assert not waiting


def test_keeps_to_time_limits_of_the_server():
    with connection.cursor() as cursor:
        for setting, limit in LIMITS.items():
            cursor.execute(f"SET {setting} = '{limit}'")
            assert Relay().run_once(wait=LONG).idle
            cursor.execute(f"RESET {setting}")


def test_does_not_wait_inside_a_transaction():
    with transaction.atomic():
        assert Relay().run_once(wait=LONG).idle
