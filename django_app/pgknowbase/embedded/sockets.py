"""A directory for the Unix socket: the data directory, or a short private one when that path does not fit.

Whoever can reach the socket is let in without a password, so the directory must be closed to everyone else.
"""

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from pgknowbase.embedded.account import Account
from pgknowbase.errors import EmbeddedPostgresError

# The kernel takes 104 bytes on macOS and 108 on Linux, closing zero included.
_LONGEST_PATH = 103 - len("/.s.PGSQL.65535")


def socket_directory(data_dir: Path, account: Account) -> Path:
    """Where the server of ``data_dir`` puts its socket; the same place at each start of the same account."""
    if _fits(data_dir):
        return data_dir
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    base = _private_base()
    directory = base / name
    _make_private(directory, account.uid)
    account.own(directory)
    return directory


def remove_directory(directory: Path, data_dir: Path) -> None:
    """Remove a socket directory that ``socket_directory`` made, once its server is gone."""
    if directory != data_dir and directory.parent.name.startswith("pgknowbase"):
        with contextlib.suppress(OSError):  # not empty, or already removed
            directory.rmdir()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _fits(directory: Path) -> bool:
    """Short enough for the kernel, and not a list of hosts to libpq (commas) or an abstract name (@)."""
    return len(os.fsencode(directory)) <= _LONGEST_PATH and "," not in str(directory)


def _private_base() -> Path:
    uid = os.geteuid()
    if uid == 0:
        base = Path("/run/pgknowbase") if Path("/run").is_dir() else Path("/tmp/pgknowbase-0")  # noqa: S108
        _make_private(base, 0, mode=0o711)  # the account must pass through to its own, closed directory
        return base
    runtime = Path(f"/run/user/{uid}")
    if runtime.is_dir() and runtime.stat().st_uid == uid and os.access(runtime, os.W_OK):
        base = runtime / "pgknowbase"
    else:
        base = Path(tempfile.gettempdir()) / f"pgknowbase-{uid}"
        if len(os.fsencode(base)) > _LONGEST_PATH - 13:
            base = Path("/tmp") / base.name  # noqa: S108
    _make_private(base, uid)
    return base


def _make_private(directory: Path, owner: int, *, mode: int = 0o700) -> None:
    try:
        directory.mkdir(mode=mode)
        directory.chmod(mode)
    except FileExistsError:
        found = directory.lstat()
        safe = stat.S_ISDIR(found.st_mode) and found.st_uid in (owner, 0) and not found.st_mode & 0o777 & ~mode
        if not safe:
            raise EmbeddedPostgresError(
                f"The socket directory {str(directory)!r} is not a private directory of user {owner}: "
                f"remove it, or "
                f"choose a shorter data directory (at most {_LONGEST_PATH} bytes)."
            ) from None
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The socket directory {str(directory)!r} cannot be created ({error}): choose a shorter data "
            f"directory "
            f"(at most {_LONGEST_PATH} bytes)."
        ) from error
