"""The data directory: who may start or stop its server, how it is created, and what lies in it beside the cluster.

The locks are flocks instead of the library's list of process ids: a process killed by SIGKILL drops its lock at that
instant, a reused process id means nothing, and a forked child that still uses the server keeps it alive.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pgknowbase.embedded.process import Account, advice, programs
from pgknowbase.errors import EmbeddedPostgresError

SUPERUSER = "postgres"
KEEP_FILE = "pgknowbase.keep"
_USERS_FILE = "pgknowbase.users"
_PASSWORD_FILE = "pgknowbase.password"  # noqa: S105  (a file name)
_HBA_FILE = "pgknowbase_hba.conf"
_GROWING = ".pgknowbase-initdb"
_GROWN = ".pgknowbase-new"
_SOCKET_PREFIX = "pgknowbase-"
# The kernel takes 104 bytes on macOS and 108 on Linux, closing zero included.
_LONGEST_SOCKET_DIRECTORY = 103 - len("/.s.PGSQL.65535")

# The socket lies in a directory that nobody else can enter; TCP asks for the generated password.
_HBA = """\
# Written by pgknowbase.embedded at each start.
local all         all               trust
local replication all               trust
host  all         all 127.0.0.1/32  scram-sha-256
"""


@contextmanager
def exclusive(data_dir: Path, *, timeout: float) -> Iterator[int]:
    """Be the only one who starts or stops the server: an flock on the directory itself, so no file is left behind.

    Yields the descriptor: a child that inherits it holds the lock too, even when this process is killed.
    """
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + timeout
    try:
        while not _lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another process has been starting or stopping the server of {str(data_dir)!r} for more than "
                    f"{timeout:g} s: look what it waits for, or raise timeout=."
                )
            time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def claim(data_dir: Path, account: Account) -> int:
    """Count as a user of the server until the descriptor returned is closed, here and in every forked child."""
    descriptor = _open_users(data_dir)
    account.own(data_dir / _USERS_FILE)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def in_use(data_dir: Path) -> bool:
    """Whether any living process has a claim on the server of ``data_dir``."""
    descriptor = _open_users(data_dir)
    try:
        return not _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _open_users(data_dir: Path) -> int:
    return os.open(data_dir / _USERS_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def ensure_directory(data_dir: Path, account: Account) -> None:
    """Create ``data_dir`` and its parents if absent, and see that ``account`` can work in it."""
    if account.switch:
        _check_reach(data_dir, account)
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        if account.switch and data_dir.stat().st_uid != account.uid:
            if not _is_cluster(data_dir):
                _check_empty(data_dir)
            account.own(data_dir)
        usable = account.may("w", data_dir) if account.switch else os.access(data_dir, os.R_OK | os.W_OK | os.X_OK)
    except (FileExistsError, NotADirectoryError):
        raise EmbeddedPostgresError(f"{str(data_dir)!r} is or lies in a file: choose another data directory.") from None
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The data directory {str(data_dir)!r} cannot be created ({error}): choose one that you may write to."
        ) from error
    if not usable:
        raise EmbeddedPostgresError(
            f"User {account.name!r} has no permission for the data directory {str(data_dir)!r}, which belongs to user "
            f"{data_dir.stat().st_uid}: choose another, or run as the user whose it is."
        )


def _check_reach(data_dir: Path, account: Account) -> None:
    """The library would open every parent to all users; which of them may be open is for their owner to say."""
    parents = [parent for parent in reversed(data_dir.parents) if parent.is_dir()]
    if account.may("x", parents[-1]):
        return
    closed = str(next(parent for parent in parents if not account.may("x", parent)))
    raise EmbeddedPostgresError(
        f"Postgres cannot run as root; it runs as {account.name!r}, who may not pass through {closed!r} to the data "
        f"directory {str(data_dir)!r}: choose a data directory outside of it, such as '/var/lib/pgknowbase/data', "
        f"or run: chmod o+x {closed!r}"
    )


def ensure_cluster(
    data_dir: Path, account: Account, version: int, *, lock: int, sync: bool = True, copy_of: str | None = None
) -> None:
    """Make ``data_dir`` a Postgres cluster of ``version`` unless it is one: a new one, or a replica of ``copy_of``.

    ``lock`` is the descriptor of ``exclusive``. initdb inherits it, so that nobody interferes with an initdb whose
    starter was killed. Without ``sync`` the files may not survive a crash of the machine.
    """
    if not _is_cluster(data_dir):
        _check_empty(data_dir)
        if not (data_dir / _GROWN).exists():
            if copy_of is None:
                _initdb(data_dir, account, version, lock=lock, sync=sync)
            else:
                _base_backup(data_dir, account, version, copy_of, lock=lock, sync=sync)
        _move_in(data_dir)
    found = (data_dir / "PG_VERSION").read_text().strip()
    if found != str(version):
        raise EmbeddedPostgresError(
            f"The data directory {str(data_dir)!r} belongs to Postgres {found!r}, not {version!r}: pass "
            f"version={found}, choose another directory, or move the data with pg_dump."
        )


def _is_cluster(data_dir: Path) -> bool:
    return (data_dir / "PG_VERSION").is_file()


def _check_empty(data_dir: Path) -> None:
    if (data_dir / _GROWN).exists():  # a creation that was killed while moving in
        return
    others = sorted(entry.name for entry in data_dir.iterdir() if entry.name != _GROWING)
    if others:
        raise EmbeddedPostgresError(
            f"{str(data_dir)!r} is not a Postgres data directory and not empty (it holds {others[0]!r}): "
            f"choose an empty or new directory."
        )


def _initdb(data_dir: Path, account: Account, version: int, *, lock: int, sync: bool) -> None:
    """initdb writes PG_VERSION first, so a cluster is made elsewhere and moved in when it is complete."""
    workplace = data_dir / _GROWING
    shutil.rmtree(workplace, ignore_errors=True)
    # The method only spares initdb a warning: the rules in force are those of write_access_rules.
    initdb = programs(version, account) / "initdb"
    command: list[str | Path] = [initdb, "-D", workplace, "-U", SUPERUSER, "--encoding=UTF8", "--auth=trust"]
    # The library takes the locale of the caller, with which the same text may sort differently on each machine.
    provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
    command = [*command, "--no-instructions", *provider, *([] if sync else ["--no-sync"])]
    made = account.run([*command, "--locale=C.UTF-8"], cwd=data_dir, inherit=[lock])
    if "invalid locale" in made.stderr:  # not every system has C.UTF-8 in its C library
        made = account.run([*command, "--locale=C"], cwd=data_dir, inherit=[lock])
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb could not create a cluster in {str(data_dir)!r}: {made.stderr.strip()}{advice(made.stderr)}"
        )
    workplace.rename(data_dir / _GROWN)


def _base_backup(data_dir: Path, account: Account, version: int, primary: str, *, lock: int, sync: bool) -> None:
    """Copy a running server, and let the copy follow it. ``primary``: a libpq connection string."""
    workplace = data_dir / _GROWING
    shutil.rmtree(workplace, ignore_errors=True)
    # Its log follows in the same connection; a checkpoint at once, or the copy waits for the next one.
    command: list[str | Path] = [programs(version, account) / "pg_basebackup", "-D", workplace, "-d", primary]
    command += ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", *([] if sync else ["--no-sync"])]
    made = account.run(command, cwd=data_dir, inherit=[lock])
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"pg_basebackup could not copy the primary into {str(data_dir)!r}: {made.stderr.strip()}"
            f"{advice(made.stderr)}"
        )
    # They are of the primary's users, and of its last start.
    for left in (workplace / _USERS_FILE, workplace / _HBA_FILE, workplace / KEEP_FILE, *workplace.glob(".s.PGSQL.*")):
        left.unlink(missing_ok=True)
    workplace.rename(data_dir / _GROWN)


def _move_in(data_dir: Path) -> None:
    """Move the finished cluster one level up; PG_VERSION, which makes it a cluster, comes last."""
    source = data_dir / _GROWN
    for entry in sorted(source.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
        entry.rename(data_dir / entry.name)
    data_dir.chmod(0o700)
    source.rmdir()
    descriptor = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_access_rules(data_dir: Path, account: Account) -> Path:
    """Write our own client authentication file, whatever the cluster came with."""
    return _write_private(data_dir / _HBA_FILE, _HBA, account)


def read_password(data_dir: Path) -> str | None:
    """The password of the superuser over TCP, if one was ever generated."""
    try:
        descriptor = os.open(data_dir / _PASSWORD_FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor) as file:
        return file.read().strip()


def new_password(data_dir: Path, account: Account) -> str:
    """Generate a password and keep it in the data directory, readable by its owner only."""
    password = secrets.token_urlsafe(24)
    _write_private(data_dir / _PASSWORD_FILE, password + "\n", account)
    return password


def _write_private(path: Path, text: str, account: Account) -> Path:
    """The account owns the directory, so root must not follow a link there: a new file takes the place of the old."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    account.own(fresh)
    return fresh.replace(path)


def socket_directory(data_dir: Path, account: Account) -> Path:
    """The data directory, or a new private one where its path does not fit into the address of a socket.

    Whoever can reach the socket is let in without a password. The library's directory can be entered by all users.
    """
    # To libpq a comma separates hosts.
    if len(os.fsencode(data_dir)) <= _LONGEST_SOCKET_DIRECTORY and "," not in str(data_dir):
        return data_dir
    # Not TMPDIR: it may be long too, or closed to the account.
    directory = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir="/tmp"))
    account.own(directory)
    return directory


def remove_socket_directory(directory: Path, data_dir: Path) -> None:
    """Remove a directory that ``socket_directory`` made, once its server is gone."""
    if directory != data_dir and directory.name.startswith(_SOCKET_PREFIX):
        with suppress(OSError):  # already removed
            directory.rmdir()
