"""Kernel locks that die with their process: one to take turns, one that says "I use this server".

``flock`` instead of a list of process ids: a process killed by SIGKILL drops its lock at that instant, a
reused process id means nothing, and a forked child that still uses the server keeps it alive.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgknowbase.errors import EmbeddedPostgresError

USERS_FILE = "pgknowbase.users"


@contextmanager
def exclusive(directory: Path, *, timeout: float) -> Iterator[int]:
    """Hold the turn of ``directory`` (an flock on the directory itself; no file is left behind).

    Yields the descriptor: a child that inherits it holds the turn too, even when this process is killed.
    """
    descriptor = _lock_directory(directory, time.monotonic() + timeout, timeout)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_directory(directory: Path, deadline: float, timeout: float) -> int:
    import fcntl

    while True:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), directory.stat()):
                return descriptor
        except BlockingIOError:
            pass
        except FileNotFoundError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Another process has been starting or stopping the server of {str(directory)!r} for more "
                f"than "
                f"{timeout:g} s: look what it waits for, or raise timeout=."
            )
        time.sleep(0.02)


class Usage:
    """This process's claim on a server, alive until ``release`` or the end of the process."""

    def __init__(self, data_dir: Path) -> None:
        import fcntl

        self._descriptor = _open_users(data_dir)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Give the claim up. A forked child that still holds a copy keeps counting."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def in_use(data_dir: Path) -> bool:
    """Whether any living process has a claim on the server of ``data_dir``."""
    import fcntl

    descriptor = _open_users(data_dir)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open_users(data_dir: Path) -> int:
    return os.open(data_dir / USERS_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
