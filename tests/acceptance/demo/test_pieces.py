"""Parts of the demo that need no database."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from demo.environment import comma_separated, database, flag, stored_secret
from demo.library.highlight import highlight
from demo.library.loading import clean
from demo.library.tour import processes
from demo.library.tour.processes import ManagedProcess
from demo.library.tour.psql import connection_arguments, find_psql

APP = Path(__file__).parents[3] / "django_app"


def test_highlight_marks_words_and_escapes_everything():
    marked = highlight("Open a <b>gzip</b> file & read", "gzip <b> READ")
    assert marked == "Open a &lt;b&gt;<mark>gzip</mark>&lt;/b&gt; file &amp; <mark>read</mark>"


@pytest.mark.parametrize("query", ["", "a b", "<>", "(", "a.*"])
def test_highlight_without_usable_words_only_escapes(query):
    assert highlight("1 < 2", query) == "1 &lt; 2"


def test_highlight_cannot_be_broken_by_markup_in_the_question():
    assert highlight("mark", "mark amp") == "<mark>mark</mark>"
    assert highlight("<script>", "script") == "&lt;<mark>script</mark>&gt;"


def test_clean_makes_any_docstring_storable():
    assert clean("a\0b\ud800c é") == "a\\0b\\ud800c é"


def test_stored_secret_is_random_private_and_stable(tmp_path):
    path = tmp_path / "state" / "secret_key"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(stored_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret_key"]
    assert stored_secret(tmp_path / "other") != found[0]


def test_environment_words_and_flags(monkeypatch):
    monkeypatch.setenv("DEMO_TEST", " a.example, ,b.example ")
    assert comma_separated("DEMO_TEST") == ["a.example", "b.example"]
    assert not flag("DEMO_TEST")
    monkeypatch.setenv("DEMO_TEST", "True")
    assert flag("DEMO_TEST")


def test_settings_start_no_server_unless_asked(monkeypatch, tmp_path):
    for name in ("DATABASE_URL", "DEMO_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    assert database(tmp_path / "pgdata")["ENGINE"] == "django.db.backends.postgresql"
    assert list(tmp_path.iterdir()) == []


def test_importing_the_settings_for_production_writes_nothing_and_is_not_debug(tmp_path):
    code = "from demo import settings; print(settings.DEBUG, repr(settings.SECRET_KEY), settings.ALLOWED_HOSTS)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=APP,
        env={"DEMO_DIR": str(tmp_path)},
    )
    assert done.stdout.strip() == "False '' []"
    assert list(tmp_path.iterdir()) == []


def test_psql_gets_the_password_by_environment_only():
    conninfo, environment = connection_arguments(
        {
            "NAME": "de mo",
            "USER": "u",
            "PASSWORD": "se'cret",
            "HOST": "/run/x",
            "PORT": "",
            "OPTIONS": {"sslmode": "require", "pool": True},
        }
    )
    assert "cret" not in conninfo
    assert "pool" not in conninfo
    assert "port" not in conninfo
    assert "dbname='de mo'" in conninfo
    assert "sslmode=require" in conninfo
    assert environment == {"PGPASSWORD": "se'cret"}


def test_psql_is_found_and_runs():
    done = subprocess.run([find_psql(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("psql (PostgreSQL)")


@pytest.fixture
def script(tmp_path, monkeypatch):
    path = tmp_path / "manage.py"
    monkeypatch.setattr(processes, "MANAGE", path)
    return path


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_child_is_stopped_when_the_block_fails(script, tmp_path):
    script.write_text("import time; time.sleep(60)")
    pids = []

    def fail() -> None:
        with ManagedProcess("x", log=tmp_path / "log") as child:
            assert child.is_running()
            pids.append(child._process.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_alive(pids[0])


def test_a_child_that_ignores_sigterm_is_killed(script, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 0.2)
    script.write_text(
        "from signal import *\nimport time\nsignal(SIGTERM, SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    log = tmp_path / "log"
    with ManagedProcess("x", log=log) as child:
        while "up" not in log.read_text():
            assert child.is_running()
        pid = child._process.pid
    assert not is_alive(pid)


def test_a_failed_child_says_what_it_printed(script, tmp_path):
    script.write_text("import sys; sys.exit('no such table')")
    with ManagedProcess("worker", "--once", log=tmp_path / "log") as child:
        child._process.wait(30)
        with pytest.raises(CommandError, match=r"'manage.py worker --once' ended with 1:\nno such table"):
            child.is_running()
        assert child._process is not None
    assert child._process is None
