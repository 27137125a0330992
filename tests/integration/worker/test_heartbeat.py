"""Heartbeats: who lives is known, who died is buried, and what it held is given back at once."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, connections

from pgknowbase.models import Chunk, ExternalData, OutboxEvent, WorkerHeartbeat
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.worker import Worker, loop
from pgknowbase.worker.heartbeat import Heartbeat
from tests.fakes import RecordingEmbedder
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

YEAR = 365 * 86400


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def queue():
    """(attempts, fresh, due) of each item."""
    return sql(
        "SELECT loading_retries, loading_retry_after IS NULL,"
        " coalesce(loading_retry_after, '-infinity') <= clock_timestamp()"
        f" FROM ai._vectorizer_q_{active_space('default').vectorizer_id} ORDER BY queued_at, id"
    )


def statuses():
    return set(ExternalData.objects.values_list("status", flat=True))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture(autouse=True)
def patient(settings):
    """Who beats by hand lives until ``silence``, however slow the machine is."""
    worker = {"RETRY": {"DELAY": 0.05}, "HEARTBEAT_TIMEOUT": 30}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": worker}


@pytest.fixture
def lively(patient, settings):
    """A worker that runs beats often."""
    settings.PGKNOWBASE["WORKER"]["HEARTBEAT_TIMEOUT"] = 0.2


@pytest.fixture(autouse=True)
def empty(transactional_db):
    OutboxEvent.objects.all().delete()
    sql(f"DELETE FROM ai._vectorizer_q_{active_space('default').vectorizer_id}")


@pytest.fixture
def notes(empty):
    OutboxEvent.objects.all().delete()
    made = Note.notes.bulk_create([Note(text=f"note {n}") for n in range(3)])
    Relay().run_once()
    return made


@pytest.fixture
def provider(monkeypatch):
    """What the worker embeds with."""
    made = RecordingEmbedder()
    monkeypatch.setattr("pgknowbase.vectorizer.executor.get_embedder", lambda alias: made)
    return made


@pytest.fixture
def beat():
    """Let the heart of some worker beat once."""

    def make():
        heart = Heartbeat("default", WorkerHeartbeat.Role.BOTH, lambda: (1, 2, 3))
        heart.beat()
        return heart

    return make


class Killed(BaseException):
    """What no ``except`` in the executor catches, so that the leases stay, as after SIGKILL."""


def die(texts):
    raise Killed


def die_at_work(provider, beat):
    """A worker that dies while embedding; returns its id."""
    heart = beat()
    provider.before = die
    executor = Executor(worker=heart.worker)
    with pytest.raises(Killed):
        executor.run_once()
    provider.before = lambda texts: None
    return heart.worker


def silence(worker, seconds=60):
    sql("UPDATE pgknowbase_worker SET beat_at = beat_at - make_interval(secs => %s) WHERE id = %s", seconds, worker)


@contextmanager
def running(**options):
    worker = Worker(**options)
    done = []

    def run():
        done.append(worker.run())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()
    assert done


def test_running_worker_is_on_the_list_and_signs_off(lively, notes):
    with running():
        wait_for(lambda: WorkerHeartbeat.objects.filter(documents=3).exists())
        row = WorkerHeartbeat.objects.get()
        assert (row.host, row.pid, row.role, row.failed) == (socket.gethostname(), os.getpid(), "both", 0)
        assert row.started_at <= row.beat_at
        wait_for(lambda: WorkerHeartbeat.objects.get().lease is None)
    assert not WorkerHeartbeat.objects.exists()


def test_relay_alone_says_so(lively, transactional_db):
    with running(relay_only=True):
        wait_for(lambda: WorkerHeartbeat.objects.filter(role="relay").exists())


def test_heart_beats_on_during_a_long_provider_call(lively, notes, provider):
    release = threading.Event()
    provider.before = lambda texts: release.wait(60)
    with running():
        wait_for(lambda: provider.calls)
        row = WorkerHeartbeat.objects.get()
        assert row.lease is not None
        wait_for(lambda: WorkerHeartbeat.objects.get().beat_at > row.beat_at)
        assert Executor().run_once().idle
        release.set()
        wait_for(lambda: statuses() == {"completed"})


def test_documents_of_a_dead_worker_are_due_at_once(notes, provider, beat):
    dead = die_at_work(provider, beat)
    assert queue() == [(0, False, False)] * 3
    assert statuses() == {"processing"}
    silence(dead)
    other = beat()
    assert list(WorkerHeartbeat.objects.values_list("pk", flat=True)) == [other.worker]
    assert queue() == [(1, True, True)] * 3
    assert statuses() == {"pending"}
    assert Executor(worker=other.worker).run_once().written == 3
    assert statuses() == {"completed"}


def test_a_living_worker_keeps_its_documents(notes, provider, beat):
    die_at_work(provider, beat)
    beat()
    assert WorkerHeartbeat.objects.count() == 2
    assert queue() == [(0, False, False)] * 3


def test_what_kills_workers_goes_to_the_end_of_the_line(notes, provider, beat):
    silence(die_at_work(provider, beat))
    beat()
    silence(die_at_work(provider, beat))
    beat()
    assert queue() == [(2, False, True)] * 3


def test_beats_that_a_restarted_server_prevented_are_forgiven(notes, provider, beat, settings):
    dead = die_at_work(provider, beat)
    silence(dead, 10 * YEAR)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": {"HEARTBEAT_TIMEOUT": YEAR}}
    beat()
    assert WorkerHeartbeat.objects.filter(pk=dead).exists()


def test_worker_that_was_taken_for_dead_gets_nothing_until_it_beats(notes, provider, beat):
    frozen = beat()
    silence(frozen.worker)
    beat()
    executor = Executor(worker=frozen.worker)
    assert executor.run_once().idle
    assert queue() == [(0, True, True)] * 3
    frozen.beat()
    assert executor.run_once().written == 3


def test_frozen_worker_that_wakes_up_does_no_harm(notes, provider, beat):
    """It is buried in the middle of a provider call, another one embeds what it held, and then it writes."""
    frozen, other = beat(), beat()

    def bury(texts):
        provider.before = lambda texts: None
        silence(frozen.worker)
        other.beat()
        Note.notes.filter(pk=notes[0].pk).update(text="newer")
        Relay().run_once()
        assert Executor(worker=other.worker).run_once().written == 3
        Note.notes.filter(pk=notes[1].pk).delete()
        Relay().run_once()

    provider.before = bury
    batch = Executor(worker=frozen.worker).run_once()
    assert batch.claimed == 3
    assert dict(Chunk.objects.values_list("object_key", "text")) == {
        str(notes[0].pk): "\nnewer",
        str(notes[2].pk): "\nnote 2",
    }
    assert Chunk.objects.count() == 2
    assert statuses() == {"completed"}
    assert Executor(worker=other.worker).run_once().idle
    assert queue() == []


def test_own_lease_is_given_back_after_a_lost_connection(notes, provider, beat):
    heart = beat()
    executor = Executor(worker=heart.worker)

    def cut(texts):
        provider.before = lambda texts: None
        thread = threading.Thread(target=terminate, args=(connection.connection.info.backend_pid,))
        thread.start()
        thread.join()

    provider.before = cut
    with pytest.raises(Exception, match=r"terminat|closed"):
        executor.run_once()
    connection.close()
    assert queue() == [(0, False, False)] * 3
    assert executor.run_once().written == 3
    assert statuses() == {"completed"}


def terminate(backend):
    try:
        sql("SELECT pg_terminate_backend(%s, 5000)", backend)
    finally:
        connections.close_all()


def test_worker_that_fails_gives_its_documents_back(notes, provider):
    def bug(texts):
        raise ZeroDivisionError("a bug in a backend")

    provider.before = bug
    with pytest.raises(ZeroDivisionError):
        Worker().run_until_idle()
    assert queue() == [(1, True, True)] * 3
    assert not WorkerHeartbeat.objects.exists()


def test_once_beats_too(notes, provider):
    seen = []
    provider.before = lambda texts: seen.extend(WorkerHeartbeat.objects.values_list("role", "lease"))
    assert Worker().run_until_idle().documents == 3
    ((role, lease),) = seen
    assert (role, lease is None) == ("both", False)
    assert not WorkerHeartbeat.objects.exists()


def test_heart_goes_on_after_a_cut_connection(lively, notes):
    with running():
        wait_for(lambda: WorkerHeartbeat.objects.filter(documents=3).exists())
        sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        before = sql("SELECT clock_timestamp()")[0][0]
        wait_for(lambda: WorkerHeartbeat.objects.filter(beat_at__gt=before).exists())
    assert not WorkerHeartbeat.objects.exists()


# Fresh before backfill


def test_fresh_write_is_embedded_before_a_backfill(transactional_db, provider):
    Note.notes.bulk_create([Note(text=f"old {n}") for n in range(1000)])
    OutboxEvent.objects.all().delete()
    call_command("sync_external_models", "blog.Note", verbosity=0, stdout=StringIO())
    assert Executor().run_once().written == 200
    fresh = Note.notes.create(text="fresh")
    Relay().run_once()
    assert Executor().run_once().written == 200
    assert fresh.external_data_status == "completed"
    assert ExternalData.objects.filter(status="pending").count() == 601
    while Executor().run_once().written:
        pass
    assert statuses() == {"completed"}
    assert queue() == []


def test_rows_of_a_whole_model_are_backfill_too(transactional_db, provider):
    Note.notes.bulk_create([Note(text=f"old {n}") for n in range(3)])
    OutboxEvent.objects.all().delete()
    Note.sync_all_external_data()
    assert queue() == [(0, False, True)] * 3
    Note.notes.create(text="one row by hand").sync_to_external_data()
    assert queue()[3] == (0, True, True)


def test_a_new_space_is_backfilled(transactional_db, provider, notes):
    assert Executor().run_once().written == 3
    call_command("pgknowbase_space", "rebuild", "--yes", verbosity=0, stdout=StringIO())
    assert queue() == [(0, False, True)] * 3
    Note.notes.filter(pk=notes[0].pk).update(text="fresh")
    Relay().run_once()
    assert sorted(queue()) == [(0, False, True)] * 3 + [(0, True, True)]


# Idle looks


def test_an_idle_look_is_one_statement_and_no_transaction(transactional_db, django_assert_num_queries):
    OutboxEvent.objects.all().delete()
    worker = Worker()
    relay = loop.Relay()
    with Executor() as executor:
        worker._run_relay(relay)
        worker._run_vectorizer(executor)
        with django_assert_num_queries(1):
            assert worker._run_relay(relay)
        with django_assert_num_queries(1):
            assert worker._run_vectorizer(executor)


def test_a_failed_row_that_is_due_ends_the_idleness(transactional_db, settings):
    OutboxEvent.objects.all().delete()
    worker, relay = Worker(), loop.Relay()
    note = Note.notes.create(text="explode")
    worker._run_relay(relay)
    assert worker._run_relay(relay)
    Note.notes.filter(pk=note.pk).update(text="cured")
    OutboxEvent.objects.all().delete()
    sql("UPDATE pgknowbase_externaldata SET retry_at = now()")
    assert not worker._run_relay(relay)
    assert note.external_data_status == "pending"
