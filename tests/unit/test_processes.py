"""Processes that are forked from one with the packages imported are what ``subprocess`` would have started."""

import os
import signal
import subprocess

import pytest

from tests.processes import Process, run

LOOK = "import os, sys; print(sys.argv[1:], sorted(os.environ), os.getcwd()); print('no', file=sys.stderr); sys.exit(3)"
WAIT = "print('begun', flush=True); import time; time.sleep(600)"


def test_arguments_environment_directory_output_and_exit_code(tmp_path):
    done = run("-c", LOOK, "a b", 1, env={"ONLY": "this"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "no\n")
    assert done.stdout == f"{['a b', '1']} ['ONLY'] {tmp_path}\n"


def test_modules_come_from_the_path_of_the_environment(tmp_path):
    (tmp_path / "found.py").write_text("import sys; print(__name__, sys.argv[1:], 'django.conf' in sys.modules)")
    done = run("-m", "found", "x", env={"PYTHONPATH": str(tmp_path)}, cwd="/")
    assert done.stdout == "__main__ ['x'] True\n", done.stderr


def test_what_is_not_caught_is_told():
    done = run("-c", "import warnings; warnings.warn('loud'); 1 / 0", env={})
    assert done.returncode == 1
    assert "UserWarning: loud" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert run("-W", "ignore", "-c", "import warnings; warnings.warn('loud')", env={}).stderr == ""


def test_it_ends_as_python_does():
    """Threads end first, then what is registered is called, and nothing printed is lost."""
    code = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'last', end='')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        "print('first')\n"
    )
    for end, expected in (("", 0), ("raise SystemExit", 0), ("raise SystemExit(5)", 5), ("raise SystemExit('no')", 1)):
        done = run("-c", code + end, env={})
        assert (done.returncode, done.stdout) == (expected, "first\nthread\nlast")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number):
    process = Process("-c", WAIT, env={})
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(number)
    assert process.wait(60) == process.returncode == -number
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
