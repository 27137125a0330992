"""Fewer connections than a worker likes: its stages share threads, and the heartbeat always has one."""

import copy
import threading
import time

import psycopg
import pytest
from django.db import connection, connections
from psycopg import sql

from pgknowbase.core.queries import find_query
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalData, WorkerHeartbeat
from pgknowbase.worker import Worker
from pgknowbase.worker.loop import STAGES
from pgknowbase.worker.threads import allot, available_connections
from tests.integration.migrations.databases import url
from tests.projects.blog.models import Article, Note
from tests.projects.newsroom.models import Call, Story

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("available", "threads", "runs"),
    [
        (None, [[name] for name in STAGES], 4),
        (10, [[name] for name in STAGES], 4),
        (9, [[name] for name in STAGES], 3),
        (6, [["relay"], ["vectorizer", "background"], ["keywords"], ["reactions"]], 1),
        (4, [["relay", "keywords"], ["vectorizer", "background", "reactions"]], 1),
        (3, [["relay", "keywords"], ["vectorizer", "background", "reactions"]], 0),
        (2, [["relay", "keywords", "vectorizer", "background", "reactions"]], 0),
    ],
)
def test_shares(available, threads, runs):
    found = allot(STAGES, 4, available)
    assert found.runs == runs
    assert available is None or 1 + len(threads) + runs <= available
    assert found.stages == threads


def test_relay_alone_shares_too():
    assert allot(["relay", "keywords", "reactions"], 4, 2).stages == [["relay", "keywords", "reactions"]]


@pytest.fixture
def pooled(transactional_db):
    """The test database with a pool of so many connections, for all threads."""
    before = copy.deepcopy(connections.settings["default"])

    def change(size):
        connection.close()
        entry = {**before, "OPTIONS": {**before["OPTIONS"], "pool": size}}
        connections.settings["default"].update(entry)
        connection.settings_dict["OPTIONS"] = entry["OPTIONS"]

    yield change
    connections.close_all()
    connection.close_pool()
    connections.settings["default"].update(before)
    connection.settings_dict["OPTIONS"] = before["OPTIONS"]


@pytest.fixture
def running(transactional_db):
    """A worker that runs on a thread of its own."""
    started = []

    def start(**options):
        worker = Worker(**options)
        thread = threading.Thread(target=worker.run)
        started.append((worker, thread))
        thread.start()
        return worker

    yield start
    for worker, thread in started:
        worker.stop()
        thread.join()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("size", [True, {"min_size": 1, "max_size": 3}, {"min_size": 1, "max_size": 2}])
def test_nothing_starves_in_a_small_pool(pooled, running, worker_settings, caplog, monkeypatch, size):
    beats = []
    real = Worker._heartbeat

    def counted(self):
        made = real(self)
        beat = made.beat
        made.beat = lambda: (beats.append(time.monotonic()), beat())[1]
        return made

    monkeypatch.setattr(Worker, "_heartbeat", counted)
    worker_settings(HEARTBEAT_TIMEOUT=2.5)
    Note.notes.bulk_create([Note(text=f"note {n}") for n in range(30)])
    Article.objects.create(title="Rice")
    Story.objects.create(title="a", body="b", status="draft")
    most = 4 if size is True else size["max_size"]
    pooled(size)
    assert available_connections("default") == most
    connection.close()
    running()
    with psycopg.connect(url(connection.settings_dict["NAME"]), autocommit=True) as watch:

        def count(query):
            return watch.execute(query).fetchone()[0]

        wait_for(lambda: count("SELECT count(*) FROM pgknowbase_externaldata WHERE status = 'completed'") >= 31)
        wait_for(lambda: count(f"SELECT count(*) FROM {Call._meta.db_table} WHERE ended") >= 1)
        done = len(beats)
        wait_for(lambda: len(beats) >= done + 3)
        assert count("SELECT count(*) FROM pgknowbase_worker WHERE beat_at > now() - interval '2.5 s'") == 1
    assert f"may have {most} on 'default'" in caplog.text
    assert "couldn't get a connection" not in caplog.text


def test_one_connection_is_refused_at_start(pooled):
    pooled({"min_size": 1, "max_size": 1})
    for run in (Worker().run, Worker().run_until_idle):
        with pytest.raises(ConfigurationError, match="two connections at least, one of them for its heartbeat"):
            run()
    assert not WorkerHeartbeat.objects.exists()


def test_limit_of_a_role_counts(transactional_db):
    with psycopg.connect(url("postgres"), autocommit=True) as admin:
        name = sql.Identifier("pgknowbase_few")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 3").format(name))
        try:
            with psycopg.connect(url("postgres", "pgknowbase_few")) as few:
                limits = few.execute(find_query("connection_limits").sql).fetchone()
            assert limits == (3, None)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(name))
    assert available_connections("default") is None
    assert ExternalData.objects.count() == 0
