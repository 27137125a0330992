"""Workers as processes, each caught in the middle of a provider call: what happens to them, and to what they held."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent, WorkerHeartbeat
from tests.processes import Process
from tests.projects.blog.models import Note

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("over_http")]

LIVELY = {"HEARTBEAT_TIMEOUT": 3}


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def load(count):
    return Note.notes.bulk_create([Note(text=f"note number {n} about subject {n % 17}") for n in range(count)])


def completed():
    return ExternalData.objects.filter(status="completed").count()


def assert_complete(count):
    assert OutboxEvent.objects.count() == 0
    assert completed() == count
    assert Document.objects.count() == Chunk.objects.count() == count
    assert len(set(Chunk.objects.values_list("object_key", flat=True))) == count


@pytest.fixture
def worker(manage, environment):
    """Start a worker that embeds through the gate."""

    def start(*arguments, **settings):
        return manage("pgknowbase_worker", *arguments, **environment(**settings))

    return start


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_killed_worker_is_inherited_within_seconds(worker, gate):
    gate.shut()
    load(20)
    killed = worker(**LIVELY)
    wait_for(lambda: gate.texts)
    killed.kill()
    killed.wait()
    gate.open()
    heir = worker(**LIVELY)
    wait_for(lambda: completed() == 20)
    assert_complete(20)
    assert WorkerHeartbeat.objects.get().pid == heir.pid
    code, _, err = end(heir)
    assert code == 0
    assert "20 documents that a dead worker had on lease are due" in err
    assert not WorkerHeartbeat.objects.exists()


def test_frozen_worker_comes_back_and_does_no_harm(worker, gate):
    gate.shut()
    notes = load(20)
    frozen = worker(**LIVELY)
    wait_for(lambda: gate.texts)
    frozen.send_signal(signal.SIGSTOP)
    gate.open()
    heir = worker(**LIVELY)
    wait_for(lambda: completed() == 20)
    Note.notes.filter(pk=notes[0].pk).update(text="newer")
    Note.notes.filter(pk=notes[1].pk).delete()
    wait_for(lambda: Chunk.objects.filter(text="\nnewer").exists() and Chunk.objects.count() == 19)
    frozen.send_signal(signal.SIGCONT)
    wait_for(lambda: WorkerHeartbeat.objects.count() == 2)
    later = Note.notes.create(text="later")
    wait_for(lambda: later.external_data_status == "completed")
    assert [end(process)[0] for process in (frozen, heir)] == [0, 0]
    assert_complete(20)
    assert Chunk.objects.get(object_key=str(notes[0].pk)).text == "\nnewer"


def test_all_connections_are_cut_in_mid_batch(worker, gate):
    gate.shut()
    load(50)
    process = worker()
    wait_for(lambda: gate.texts)
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    gate.open()
    wait_for(lambda: completed() == 50)
    Note.notes.create(text="one more")
    wait_for(lambda: completed() == 51)
    assert_complete(51)
    assert end(process)[0] == 0


def test_provider_that_is_down_for_a_while(worker, gate):
    gate.fail(503)
    load(300)
    process = worker()
    wait_for(lambda: len(gate.http.bodies) >= 4)
    assert completed() == 0
    # The first batch was one call; since then it was asked with one document at a time.
    assert [len(body["input"]) for body in gate.http.bodies[1:4]] == [1, 1, 1]
    gate.open()
    wait_for(lambda: completed() == 300)
    assert_complete(300)
    assert end(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_ends_the_batch_and_the_second_the_worker(worker, gate, number):
    gate.shut()
    load(5)
    patient = worker()
    wait_for(lambda: gate.texts)
    patient.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        patient.wait(1)
    gate.open()
    out, _ = patient.communicate(timeout=120)
    assert patient.returncode == 0
    assert "5 documents indexed" in out
    assert not WorkerHeartbeat.objects.exists()
    gate.shut()
    Note.notes.update(text="changed")
    asked = len(gate.texts)
    hasty = worker()
    wait_for(lambda: len(gate.texts) > asked)
    hasty.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        hasty.wait(1)
    hasty.send_signal(number)
    assert hasty.wait(120) == 128 + number


def test_signal_during_a_pause_ends_at_once(worker, gate):
    gate.fail(503)
    load(5)
    process = worker(RETRY={"DELAY": 600, "MAX_DELAY": 600})
    wait_for(lambda: gate.http.bodies)
    wait_for(lambda: ExternalData.objects.exclude(error="").count() == 5)
    code, out, err = end(process)
    assert code == 0
    assert "5 to be retried" in out
    assert "the provider gets a pause" in err


def test_several_workers_embed_nothing_twice(worker, gate):
    load(1200)
    workers = [worker() for _ in range(3)]
    wait_for(lambda: completed() == 1200)
    Note.notes.update(text=("all the same"))
    wait_for(lambda: completed() == 1200 and not OutboxEvent.objects.exists())
    outs = [end(process) for process in workers]
    assert [code for code, _, _ in outs] == [0, 0, 0], outs
    assert_complete(1200)
    texts = [text for text in gate.texts if text != "\nall the same"]
    assert len(texts) == len(set(texts)) == 1200


@pytest.fixture(scope="module")
def server():
    """A server of these tests' own, which may be stopped."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    made = EmbeddedPostgres(directory / "pg", options={"fsync": "off", "max_connections": 30})
    migration = Process(
        *("-m", "django", "migrate", "-v0"),
        env={
            **os.environ,
            "DATABASE_URL": made.start().url,
            "OPENAI_BASE_URL": "http://127.0.0.1:9",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": os.pathsep.join([".", "django_app"]),
        },
    )
    _, err = migration.communicate(timeout=120)
    assert migration.returncode == 0, err
    yield made
    made.stop(force=True)
    shutil.rmtree(directory)


@pytest.fixture
def run(environment):
    """Start a management command on any database."""
    started = []

    def start(url, *arguments, **settings):
        process = Process(
            *("-m", "django", *arguments),
            env={
                **os.environ,
                **environment(**settings),
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "PYTHONPATH": os.pathsep.join([".", "django_app"]),
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def insert(url, texts):
    with psycopg.connect(url, autocommit=True) as other, other.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO blog_note (id, text, hidden) VALUES (gen_random_uuid(), %s, false)",
            [(text,) for text in texts],
        )


def chunks(url):
    with psycopg.connect(url, autocommit=True) as other:
        return [row[0] for row in other.execute("SELECT chunk FROM pgknowbase_chunk ORDER BY 1").fetchall()]


@pytest.fixture
def url(server):
    """Of the migrated database on the server, without rows."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("TRUNCATE blog_note; DELETE FROM pgknowbase_externaldata; DELETE FROM pgknowbase_document")
        connection.execute("DELETE FROM pgknowbase_outbox; DELETE FROM pgknowbase_worker")
    return server.url


@pytest.fixture
def bouncer(server, url):
    """The URL of the same database through pgbouncer in transaction mode."""
    program = shutil.which("pgbouncer") or pytest.skip("pgbouncer is not installed")
    params = conninfo_to_dict(url)
    directory = server.data_dir.parent / "bouncer"
    directory.mkdir()
    directory.chmod(0o777)
    config = directory / "pgbouncer.ini"
    backend = " ".join(f"{name}={params[name]}" for name in ("host", "port", "user", "password") if name in params)
    config.write_text(
        f"[databases]\n* = {backend}\n[pgbouncer]\npool_mode = transaction\nauth_type = any\nlisten_port = 6432\n"
        f"unix_socket_dir = {directory}\ndefault_pool_size = 3\nserver_reset_query_always = 0\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    as_user = ["-u", server.data_dir.owner()] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, *as_user, str(config)], stderr=subprocess.PIPE, text=True)
    through = (
        f"postgresql://{params.get('user', 'postgres')}@/{params['dbname']}?host={quote(str(directory))}&port=6432"
    )
    try:
        wait_for(lambda: (directory / ".s.PGSQL.6432").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        yield through
    finally:
        process.kill()
        process.communicate()


def test_through_pgbouncer_in_transaction_mode(url, bouncer, run, gate):
    insert(url, [f"old {n}" for n in range(300)])
    gate.shut()
    killed = run(bouncer, "pgknowbase_worker", **LIVELY)
    wait_for(lambda: gate.texts)
    killed.kill()
    gate.open()
    workers = [run(bouncer, "pgknowbase_worker", **LIVELY) for _ in range(2)]
    insert(url, [f"new {n}" for n in range(300)])
    wait_for(lambda: len(chunks(url)) == 600)
    assert len(set(chunks(url))) == 600
    outs = [end(process) for process in workers]
    assert [code for code, _, _ in outs] == [0, 0], outs
    sync = run(bouncer, "sync_external_models", "blog.Note", "-v0")
    out, err = sync.communicate(timeout=120)
    assert sync.returncode == 0, err
    assert "600" in out


def test_restart_of_the_server_in_mid_batch(server, url, run, gate):
    process = run(url, "pgknowbase_worker", **LIVELY)
    gate.shut()
    insert(url, ["first", "second"])
    wait_for(lambda: gate.texts)
    server.stop(force=True)
    gate.open()
    time.sleep(1)
    assert process.poll() is None
    assert server.start().url == url
    wait_for(lambda: len(chunks(url)) == 2)
    insert(url, ["third"])
    wait_for(lambda: chunks(url) == ["\nfirst", "\nsecond", "\nthird"])
    code, out, _ = end(process)
    assert code == 0
    assert "3 documents indexed" in out
