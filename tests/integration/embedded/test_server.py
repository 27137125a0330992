"""One process and its server: start, join, stop, address, settings."""

import os
import shutil
import time
from pathlib import Path

import psycopg
import pytest

from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.errors import EmbeddedPostgresError
from tests.integration.embedded.conftest import AS_ROOT, FAST, end_servers_in, postmasters_in, servers_in


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_first_start_creates_parents_and_a_utf8_cluster(place):
    server = EmbeddedPostgres(place / "a" / "b" / "pg", options=FAST)
    began = time.monotonic()
    with server:
        assert time.monotonic() - began < 20
        assert server.is_running
        assert ask(server.url, "SELECT current_setting('server_encoding')") == "UTF8"
        assert ask(server.url, "SELECT current_setting('server_version_num')").startswith("18")
        assert ask(server.url, "SELECT upper('straße, äé, жук')") == "STRASSE, ÄÉ, ЖУК".replace("SS", "ß")
        assert ask(server.url, "SELECT 'naïve 日本語 🙂'") == "naïve 日本語 🙂"
        assert ask(server.url, "SELECT current_setting('fsync')") == "off"
    assert not server.is_running
    assert server.data_dir.stat().st_mode & 0o077 == 0


def test_vector_extension_works(data_dir):
    with EmbeddedPostgres(data_dir, options=FAST) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE TABLE t (id int, e vector(2))")
        connection.execute("INSERT INTO t VALUES (1, '[1,0]'), (2, '[0,1]'), (3, '[0.9,0.1]')")
        connection.execute("CREATE INDEX ON t USING hnsw ((e::halfvec(2)) halfvec_cosine_ops)")
        nearest = connection.execute("SELECT id FROM t ORDER BY e <=> '[1,0.02]' LIMIT 2").fetchall()
    assert [row[0] for row in nearest] == [1, 3]


def test_version_16(place):
    with EmbeddedPostgres(place / "pg", version=16, options=FAST) as server:
        assert ask(server.url, "SELECT current_setting('server_version_num')").startswith("16")
    with pytest.raises(EmbeddedPostgresError, match=r"belongs to Postgres '16', not 18: pass version=16"):
        EmbeddedPostgres(place / "pg").start()


def test_second_start_joins_and_the_last_to_leave_stops(cluster):
    first = EmbeddedPostgres(cluster, options=FAST).start()
    second = EmbeddedPostgres(cluster).start()
    assert ask(first.url, "SELECT pg_postmaster_start_time()") == ask(second.url, "SELECT pg_postmaster_start_time()")
    assert first.start() is first
    assert first.stop() is False
    assert second.is_running
    assert second.stop() is True
    assert not second.is_running
    assert second.stop() is False


def test_force_stops_under_other_users(cluster):
    first = EmbeddedPostgres(cluster, options=FAST).start()
    assert EmbeddedPostgres(cluster).stop() is False
    assert EmbeddedPostgres(cluster).stop(force=True) is True
    assert first.start().is_running
    assert first.stop() is True


def test_keep_survives_the_last_user_until_forced(cluster):
    EmbeddedPostgres(cluster, options=FAST, keep=True).start().stop()
    with EmbeddedPostgres(cluster) as visitor:
        assert visitor.is_running
    assert visitor.is_running
    assert end_servers_in(cluster)  # so that nobody takes the wish to keep it back
    with EmbeddedPostgres(cluster, options=FAST) as later:
        pass
    assert not later.is_running


def test_stop_of_nothing(place):
    assert EmbeddedPostgres(place / "none").stop(force=True) is False
    assert not (place / "none").exists()
    with pytest.raises(EmbeddedPostgresError, match=r"call start\(\) first"):
        _ = EmbeddedPostgres(place / "none").url


def test_tcp_needs_the_generated_password(data_dir):
    with EmbeddedPostgres(data_dir, options=FAST, port=0) as server:
        assert "@127.0.0.1:" in server.url
        assert ask(server.url, "SELECT inet_server_addr()::text").startswith("127.0.0.1")
        right = psycopg.conninfo.conninfo_to_dict(server.url)
        assert len(right["password"]) >= 30
        for wrong in ("wrong", ""):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(**(right | {"password": wrong}))
        secret = data_dir / "pgknowbase.password"
        assert secret.stat().st_mode & 0o077 == 0
        with pytest.raises(EmbeddedPostgresError, match="already runs on port"):
            EmbeddedPostgres(data_dir, port=1).start()
    again = EmbeddedPostgres(data_dir, options=FAST, port=0)
    with again:
        assert psycopg.conninfo.conninfo_to_dict(again.url)["password"] == right["password"]


def test_tcp_rules_hold_for_a_cluster_made_with_trust(data_dir):
    (data_dir / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    with EmbeddedPostgres(data_dir, options=FAST, port=0) as server:
        right = psycopg.conninfo.conninfo_to_dict(server.url)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**(right | {"password": "wrong"}))


def test_socket_only_by_default(cluster):
    with EmbeddedPostgres(cluster, options=FAST) as server:
        assert ask(server.url, "SELECT current_setting('listen_addresses')") == ""
        with pytest.raises(EmbeddedPostgresError, match="already runs without TCP"):
            EmbeddedPostgres(cluster, port=0).start()


@pytest.mark.parametrize("name", ["long-" * 25, "日本語 naïve", 'quo"te$HOME`', "comma,comma"])
def test_odd_paths(place, data_dir, name):
    target = place / name
    data_dir.rename(target)
    with EmbeddedPostgres(target, options=FAST) as server:
        assert ask(server.url, "SELECT current_setting('data_directory')") == str(target)
        host = Path(psycopg.conninfo.conninfo_to_dict(server.url)["host"])
        assert len(os.fsencode(host)) < 95
        assert host.stat().st_mode & 0o077 == 0
        assert (host / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
    assert host == target or not host.exists()


def test_a_database_of_its_own(cluster):
    with EmbeddedPostgres(cluster, options=FAST, database="knowledge base") as server:
        assert ask(server.url, "SELECT current_database()") == "knowledge base"
    with server:
        assert ask(server.url, "SELECT current_database()") == "knowledge base"


def test_killed_server_is_started_again(cluster):
    server = EmbeddedPostgres(cluster, options=FAST).start()
    assert end_servers_in(cluster)
    assert (cluster / "postmaster.pid").exists()
    assert not server.is_running
    server.start()
    assert ask(server.url, "SELECT 1") == 1
    assert server.stop() is True


@pytest.mark.parametrize("stranger", ["python", "postgres"])
def test_stale_pid_file_that_names_a_living_stranger(place, data_dir, cluster, stranger):
    """Postgres itself refuses to start while a process of that number lives under the same account."""
    with EmbeddedPostgres(cluster, options=FAST) as other:
        (postmaster,) = postmasters_in(cluster)
        pid = postmaster.pid if stranger == "postgres" else os.getpid()
        lines = [pid, data_dir, 1, 5432, data_dir, "", "1 1", "ready", ""]
        (data_dir / "postmaster.pid").write_text("\n".join(map(str, lines)))
        server = EmbeddedPostgres(data_dir, options=FAST)
        assert not server.is_running
        assert server.stop(force=True) is False
        with server:
            assert ask(server.url, "SELECT current_setting('data_directory')") == str(data_dir)
        assert other.is_running


def test_creation_killed_in_initdb_and_while_moving_in(place, data_dir, monkeypatch):
    (place / "half" / ".pgknowbase-initdb" / "base").mkdir(parents=True)
    with EmbeddedPostgres(place / "half", options=FAST) as server:
        assert ask(server.url, "SELECT 1") == 1
    moving = place / "moving"
    moving.mkdir()
    shutil.copystat(data_dir, moving)
    owner = data_dir.stat()
    data_dir.rename(moving / ".pgknowbase-new")
    os.chown(moving, owner.st_uid, owner.st_gid)
    moved, rename = [], Path.rename

    def killed(self, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        EmbeddedPostgres(moving, options=FAST).start()
    monkeypatch.undo()
    assert moved
    assert all(target.exists() for target in moved)
    with EmbeddedPostgres(moving, options=FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_root_steps_down(cluster):
    with EmbeddedPostgres(cluster, options=FAST):
        assert {process.uids().real for process in servers_in(cluster)} == {cluster.stat().st_uid}
        assert cluster.stat().st_uid != 0
