"""Python processes as ``subprocess`` starts them, forked from one that has imported the packages.

Imports are most of what a management command takes: forked, one starts in a third of the time. Such a process is one
like any other: it has its own environment, directory and files, exits as Python does, and dies of signals.

>>> run("-m", "django", "check", env={"DJANGO_SETTINGS_MODULE": "tests.settings", ...}).returncode
0
"""

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path

# What a project of the tests imports, as far as it does not ask for Django's settings when it is imported.
PACKAGES = [
    "django.contrib.admin",
    "django.contrib.postgres.search",
    "django.core.management",
    "django.db.migrations.autodetector",
    "django.test",
    "ag_ui.core",
    "genai_prices.data",
    "mcp.server.lowlevel",
    "mcp.server.streamable_http_manager",
    "numpy",
    "pgknowbase.agents.runs.contract",
    "pgknowbase.conf",
    "pgknowbase.costs.caps",
    "pgknowbase.reactions.change",
    "pgknowbase.rerank.stage",
    "pgknowbase.sources.declaration",
    "pgknowbase.vectorizer.chunking",
    "pgtrigger",
    "pgvector.psycopg",
    "psycopg",
    "pydantic_ai.models.function",
    "pydantic_ai.models.openai",
    "pydantic_ai.models.test",
]


class Process:
    """``python *arguments`` in a process of its own; has the methods of ``Popen``. It prints into files."""

    def __init__(self, *arguments, env, cwd=None, stdout=None, stderr=None):
        self.arguments = [*map(str, arguments)]
        self.returncode = None
        self._files = [stdout or tempfile.TemporaryFile(), stderr or tempfile.TemporaryFile()]  # noqa: SIM115
        self._status, status = os.pipe()
        with tempfile.TemporaryFile() as request, Path(os.devnull).open("rb") as stdin:
            request.write(json.dumps([self.arguments, dict(env), str(cwd or Path.cwd())]).encode())
            request.flush()
            socket.send_fds(_server(), [b"!"], [file.fileno() for file in (request, stdin, *self._files)] + [status])
        os.close(status)
        self.pid = self._read()

    def _read(self):
        """A number that the server's fork tells, first the process id and last the exit status."""
        (number,) = array.array("i", os.read(self._status, array.array("i").itemsize))
        return number

    def poll(self):
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.arguments, timeout)
            self.returncode = os.waitstatus_to_exitcode(self._read())
            os.close(self._status)
        return self.returncode

    def __del__(self):
        for file in self._files:
            file.close()
        if self.returncode is None:
            os.close(self._status)

    def communicate(self, timeout=None):
        """Wait for the end; everything printed so far, as texts."""
        self.wait(timeout)
        return tuple(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in self._files)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run(*arguments, env, cwd=None, timeout=None):
    """Run ``python *arguments`` to its end, as ``subprocess.run`` does."""
    process = Process(*arguments, env=env, cwd=cwd)
    try:
        return subprocess.CompletedProcess(process.arguments, process.wait(timeout), *process.communicate())
    finally:
        process.kill()


_started = []
_starting = threading.Lock()


def _server():
    """The socket of the process that forks; the first call starts it."""
    with _starting:
        if not _started:
            ours, theirs = socket.socketpair()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
            command = [sys.executable, __file__, str(theirs.fileno())]
            server = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            theirs.close()
            _started.append(ours)
            atexit.register(lambda: (ours.close(), server.wait()))
    return _started[0]


def _prepare():
    """Import what processes of the tests import, and read the weights that they embed with."""
    for package in PACKAGES:
        importlib.import_module(package)
    from pgknowbase.core.pgai import disable_tracing
    from pgknowbase.embeddings.static import StaticEmbedder

    disable_tracing()
    importlib.import_module("pgai.vectorizer")
    # pgai starts ddtrace, which looks at every later import.
    importlib.import_module("ddtrace.internal.module").ModuleWatchdog.uninstall()
    weights, read = StaticEmbedder().load(), StaticEmbedder._open
    StaticEmbedder._open = lambda self: weights if self.dimensions == 256 else read(self)


def _serve(channel):
    """Fork for each request, until there are no more; returns, in the new process, its arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _prepare()
    # What is shared by all is never looked through for garbage, which would copy it.
    gc.freeze()
    gc.set_threshold(20_000)
    while received := socket.recv_fds(channel, 1, 5)[1]:
        if not os.fork():
            channel.close()
            return _forked(*received)
        for file in received:
            os.close(file)
    sys.exit()


def _forked(request, stdin, stdout, stderr, status):
    """Fork the process itself, whose end this one waits for and tells."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        os.write(status, array.array("i", [os.waitpid(child, 0)[1]]))
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(status, array.array("i", [os.getpid()]))
    for number, file in enumerate((stdin, stdout, stderr)):
        os.dup2(file, number)
    arguments, environment, directory = json.loads(os.pread(request, os.fstat(request).st_size, 0))
    for file in (request, stdin, stdout, stderr, status):
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    os.chdir(directory)
    # The first entry is the folder of this file.
    sys.path[:1] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return arguments


def _become(arguments):
    """Do what the command line ``python *arguments`` says."""
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])
        arguments = arguments[2:]
    kind, what, *sys.argv[1:] = arguments
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = kind
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(what, main.__dict__)


def _end(code):
    """Exit as Python does, but leave the modules as they are; to take them apart is a third of a short command."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main():
    try:
        _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _end((end.code or 0) & 0xFF)
    _end(0)


if __name__ == "__main__":
    _main()
