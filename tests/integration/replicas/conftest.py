"""One primary, the server of the tests, and streaming replicas of it."""

import copy
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pgknowbase.core import gateway
from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.embedded.process import find_postmaster
from pgknowbase.replicas import servers
from tests.settings import FAST

ROUTERS = ["pgknowbase.replicas.ReplicaRouter"]


@pytest.fixture(scope="module")
def start_replica(django_db_setup):
    """Starts replicas of the test server; none outlives the module."""
    socket = Path(connections["default"].settings_dict["HOST"] or "/nowhere")
    version = int((socket / "PG_VERSION").read_text())
    primary = EmbeddedPostgres(socket, version=version)
    place = Path(tempfile.mkdtemp(prefix="pgk-"))
    place.chmod(0o711)
    started = []

    def start():
        options = {**FAST, "shared_buffers": "16MB"}
        server = EmbeddedPostgres(place / str(len(started)), version=version, replica_of=primary, options=options)
        started.append(server.start())
        return server

    yield start
    for server in started:
        os.kill(find_postmaster(server.data_dir).pid, signal.SIGQUIT)
        server.stop(force=True)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def two(start_replica):
    return [start_replica(), start_replica()]


@pytest.fixture
def alias(transactional_db, django_db_blocker, monkeypatch):
    """Adds an alias of a server's test database to ``DATABASES``."""
    # Django's test case allows the aliases alone that there were before the test.
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", django_db_blocker._real_ensure_connection)
    added = []

    def add(name, server):
        entry = copy.deepcopy(connections["default"].settings_dict)
        entry["HOST"] = str(server.data_dir)
        connections.settings[name] = connections.configure_settings({"default": {}, name: entry})[name]
        added.append(name)
        return name

    yield add
    for name in added:
        connections[name].close()
        del connections[name]
        del connections.settings[name]


@pytest.fixture
def replicas(two, alias, settings):
    """The aliases of two replicas that have everything, and that searches ask."""
    names = [alias(f"replica_{number}", server) for number, server in enumerate(two)]
    settings.DATABASE_ROUTERS = ROUTERS
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": names}
    servers.forget()
    for name in names:
        resume(name)
        caught_up(name)
    yield names
    for name in names:
        resume(name)
    servers.forget()


def ask(alias, statement):
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def pause(alias):
    """Let the replica replay nothing more, as one that is far behind."""
    ask(alias, "SELECT pg_wal_replay_pause()")
    until(lambda: ask(alias, "SELECT pg_get_wal_replay_pause_state()") == "paused")


def resume(alias):
    if ask(alias, "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()"):
        ask(alias, "SELECT pg_wal_replay_resume()")


def caught_up(alias, primary="default"):
    ((_, _, written),) = gateway.fetch(primary, "written_position")
    until(lambda: ask(alias, f"SELECT pg_last_wal_replay_lsn() >= '{written}'"))


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def follow(alias, server):
    """Let a replica follow another server than the one it was copied from."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET primary_conninfo = 'host={server.data_dir} user=postgres'")
        cursor.execute("SELECT pg_reload_conf()")
