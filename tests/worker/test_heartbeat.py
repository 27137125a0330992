"""Heartbeats: who lives is known, who died is buried, and what it held is given back at once."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.db import connection, connections

from pgknowbase import gateway
from pgknowbase.models import ExternalData, OutboxEvent, WorkerHeartbeat
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.spaces import active_space
from pgknowbase.worker import Worker, loop
from pgknowbase.worker.heartbeat import Heartbeat
from tests.blog.models import Note
from tests.fakes import RecordingEmbedder

pytestmark = pytest.mark.django_db(transaction=True)

ROLE = WorkerHeartbeat.Role.BOTH


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def queue():
    return sql(
        "SELECT id, loading_retries, loading_retry_after IS NULL, coalesce(loading_retry_after <= clock_timestamp(), true)"
        f" FROM ai._vectorizer_q_{active_space('default').vectorizer_id} ORDER BY id::int"
    )


def silence(worker, seconds=3600):
    WorkerHeartbeat.objects.filter(pk=worker).update(beat_at=sql(f"SELECT now() - interval '{seconds} s'")[0][0])


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture(autouse=True)
def long_running_server(monkeypatch):
    """The test's server has just started, and beats before its start are forgiven."""
    sql(
        "CREATE SCHEMA IF NOT EXISTS test_clock;"
        " CREATE OR REPLACE FUNCTION test_clock.nothing() RETURNS void LANGUAGE sql AS ''"
    )
    yield
    sql("DROP SCHEMA test_clock CASCADE")


@pytest.fixture
def notes(transactional_db):
    OutboxEvent.objects.all().delete()
    made = Note.notes.bulk_create([Note(text=f"note {n}") for n in range(3)])
    Relay().run_once()
    return made


def beat_of(worker_id=None):
    beat = Heartbeat("default", ROLE, lambda: (1, 2, 3))
    beat.worker = worker_id or beat.worker
    beat.beat()
    return beat
