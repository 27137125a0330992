"""Work that failed or waits, workers that are not there, and tables that fall behind."""

import os
import signal
import time
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from pgknowbase.models import ExternalData, ExternalDataStatus, OutboxEvent, ProviderOutage, WorkerHeartbeat
from pgknowbase.operations.doctor import storage, work
from pgknowbase.operations.doctor.findings import Severity
from pgknowbase.worker.heartbeat import Heartbeat
from tests.integration.operations.doctor.conftest import findings, repair, sql, the, value
from tests.projects.blog.models import Article, Manual, Note

pytestmark = pytest.mark.usefixtures("healthy")
MANY_EVENTS = (
    "INSERT INTO pgknowbase_outbox (source, path, op) SELECT 'blog.Article', '', 'T' FROM generate_series(1, %s)"
)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@contextmanager
def uncaptured():
    """Rows written here have no event, as those written before the triggers were made."""
    sql("SET session_replication_role = replica")
    yield
    sql("RESET session_replication_role")


def test_provider_that_embeds_nothing():
    assert findings("provider.outage") == []
    ProviderOutage.objects.create(
        provider="api.example.com",
        model="m",
        error="'api.example.com' answered 402 for 'm': 'insufficient balance'. Check the account's credit.",
        failures=7,
        failing_since=timezone.now() - timedelta(hours=3),
        paused_until=timezone.now() + timedelta(minutes=10, seconds=30),
        is_throttled=False,
        executor=uuid4(),
    )
    finding = the("provider.outage")
    assert finding.severity == Severity.ERROR
    assert "api.example.com has embedded nothing with the model 'm' for 3 hours, in 7 attempts" in finding.what
    assert "insufficient balance" in finding.what
    assert "in 10 minutes" in finding.fix[0]
    ProviderOutage.objects.all().delete()


def test_dead_letter(drain):
    note = Note.notes.create(text="explode")
    drain()
    assert "1 objects of blog.note failed" in the("failed.object").what
    ExternalData.objects.update(retry_at=None)
    finding = the("failed.dead")
    assert "1 dead letters of blog.note" in finding.what
    assert findings("failed.object") == []
    Note.notes.update(text="good")
    repair(finding)
    drain()
    assert ExternalData.objects.of(note).get().status == ExternalDataStatus.COMPLETED


def test_rows_older_than_their_triggers(drain):
    with uncaptured():
        Note.notes.create(text="older")
        Note.notes.create(text="")
    Article.objects.create(title="waits in the outbox")
    Manual.objects.create(name="synchronised by hand")
    finding = the("source.rows")
    assert finding.what == "The index does not know 2 rows of 'blog.Note'."
    repair(finding)
    # What is left is kept out by its hooks, and that is not a problem.
    assert findings("source.rows") == []
    drain()


def test_migrate_and_status_name_rows_that_the_index_does_not_know(drain):
    with uncaptured():
        note = Note.notes.create(text="older")
    out = StringIO()
    call_command("migrate", stdout=out)
    assert (
        "The index does not know 1 rows of 'blog.Note': run 'manage.py sync_external_models blog.Note'."
        in out.getvalue()
    )
    out = StringIO()
    call_command("pgknowbase_status", stdout=out)
    assert "this brings them in: manage.py sync_external_models blog.Note\n" in out.getvalue()
    note.sync_to_external_data()
    for command in ("migrate", "pgknowbase_status"):
        out = StringIO()
        call_command(command, stdout=out)
        assert "does not know" not in out.getvalue()
    drain()


def test_waiting_without_a_worker(drain):
    Article.objects.create(title="a")
    finding = the("worker.none")
    assert finding.what == "1 changes wait in the outbox and no worker is running."
    assert finding.fix == ("manage.py pgknowbase_worker",)
    with Heartbeat("default", WorkerHeartbeat.Role.BOTH, lambda: (0, 0, 0)):
        assert findings("worker.none") == []
    Article.objects.create(title="b").sync_to_external_data()
    with Heartbeat("default", WorkerHeartbeat.Role.RELAY, lambda: (0, 0, 0)):
        assert the("worker.none").what == "1 documents wait to be embedded and no running worker embeds."
    drain()


def test_worker_that_was_killed(manage, drain):
    process = manage("pgknowbase_worker", PGKNOWBASE_TEST_WORKER='{"HEARTBEAT_TIMEOUT": 1}')
    wait_for(WorkerHeartbeat.objects.exists)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    WorkerHeartbeat.objects.update(beat_at=timezone.now() - timedelta(minutes=3), lease=timezone.now())
    finding = the("worker.silent")
    assert finding.severity is Severity.ERROR
    assert f":{process.pid} has sent no heartbeat for 3 minutes, and holds documents on lease" in finding.what
    WorkerHeartbeat.objects.update(lease=None)
    assert the("worker.silent").severity is Severity.WARNING
    with Heartbeat("default", WorkerHeartbeat.Role.BOTH, lambda: (0, 0, 0)):
        assert findings("worker.silent") == []


def test_lag(drain):
    Article.objects.create(title="a")
    assert findings("lag.source") == []
    OutboxEvent.objects.update(created_at=timezone.now() - timedelta(hours=3))
    assert "of blog.article has waited for 3 hours: 1 events in the outbox" in the("lag.source").what
    drain()
    assert findings("lag.source") == []


def test_old_queue(drain):
    from pgknowbase.spaces.specification import active_space

    Article.objects.create(title="a").sync_to_external_data()
    queue = f"ai._vectorizer_q_{active_space('default').vectorizer_id}"
    sql(f"UPDATE {queue} SET queued_at = now() - interval '1 hour'")
    assert "1 documents are due in the queue of the space 'default', the oldest for 60 minutes" in the("lag.queue").what
    sql(f"UPDATE {queue} SET loading_retry_after = now() + interval '1 hour'")
    assert findings("lag.queue") == []
    sql(f"UPDATE {queue} SET loading_retry_after = NULL")
    drain()


def test_work_constants_are_told_apart():
    assert work.MAX_LAG < storage.LONG_TRANSACTION


# Storage


def test_table_without_statistics():
    sql("ALTER TABLE pgknowbase_outbox SET (autovacuum_enabled = false)")
    sql("DELETE FROM pg_statistic WHERE starelid = 'pgknowbase_outbox'::regclass")
    sql(MANY_EVENTS, 20_000)
    finding = the("table.statistics")
    assert "pgknowbase_outbox" in finding.what
    repair(finding)
    assert findings("table.statistics") == []
    left_out = the("table.autovacuum")
    repair(left_out)
    assert findings("table.autovacuum") == []
    sql("TRUNCATE pgknowbase_outbox")


def test_outbox_full_of_dead_rows_and_who_keeps_them(database_url, monkeypatch):
    monkeypatch.setattr(storage, "LONG_TRANSACTION", 0.05)
    monkeypatch.setattr(storage, "MANY_DEAD_ROWS", 5_000)
    sql("ALTER TABLE pgknowbase_outbox SET (autovacuum_enabled = false)")
    sql(MANY_EVENTS, 6_000)
    with psycopg.connect(database_url, application_name="report") as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM pgknowbase_outbox")
        sql("DELETE FROM pgknowbase_outbox")
        sql("SELECT pg_stat_force_next_flush()")
        bloat = wait_for(lambda: findings("table.bloat"))[0]
        assert "The table pgknowbase_outbox holds 6," in bloat.what
        held = [finding for finding in findings("vacuum.held") if "(report)" in finding.what]
        assert f"pid {other.info.backend_pid} (" in held[0].what
        assert held[0].fix == (f"SELECT pg_terminate_backend({other.info.backend_pid});",)
        repair(bloat)
        assert findings("table.bloat"), "VACUUM cannot remove what a snapshot still sees"
        repair(held[0])
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    wait_for(lambda: not [finding for finding in findings("vacuum.held") if "(report)" in finding.what])
    repair(bloat)
    assert findings("table.bloat") == []
    repair(the("table.autovacuum"))


def test_triggers_kept_silent_by_a_role():
    role = value("SELECT quote_ident(current_user)")
    sql(f"ALTER ROLE {role} SET session_replication_role = 'replica'")
    finding = the("server.triggers")
    assert finding.severity is Severity.WARNING
    sql("SET session_replication_role = 'replica'")
    assert the("server.triggers").severity is Severity.ERROR
    sql("RESET session_replication_role")
    repair(finding)
