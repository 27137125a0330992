"""The account that Postgres runs as: the caller's own, or a plain one when the caller is root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgknowbase.errors import EmbeddedPostgresError

ACCOUNT_NAME = "pgknowbase"


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
        """Run ``command`` to its end as this account and return its exit status and text."""
        credentials: dict[str, Any] = {}
        if self.switch:
            credentials = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(
            [os.fspath(part) for part in command],
            cwd=cwd,
            env=_clean_environment(),
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

    def first_closed(self, directories: Sequence[Path]) -> Path | None:
        """The first of ``directories`` that exists and that this account may not enter."""
        script = 'n=0; for d; do if test -d "$d" && ! test -x "$d"; then echo $n; exit; fi; n=$((n+1)); done'
        found = self.run(["/bin/sh", "-c", script, "sh", *directories], cwd=Path("/")).stdout.strip()
        return directories[int(found)] if found else None

    def own(self, path: Path) -> None:
        """Hand ``path`` (itself, no link followed) to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path) -> Account:
    """The account for the server of ``data_dir``, which may not exist yet.

    An ordinary caller runs Postgres itself. Root cannot: the owner of the directory is taken, and for a
    directory of root's or a new one the account ``pgknowbase``, created with ``useradd`` if absent.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), str(os.geteuid()), switch=False)
    owner = data_dir.stat().st_uid if data_dir.exists() else 0
    if owner:
        return _account_of_uid(owner)
    return _account_of_uid(_dedicated_uid())


def _account_of_uid(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a bind mount owned by a number without a name
        return Account(uid, uid, str(uid), switch=True)
    return Account(uid, entry.pw_gid, entry.pw_name, switch=True)


def _dedicated_uid() -> int:
    try:
        return pwd.getpwnam(ACCOUNT_NAME).pw_uid
    except KeyError:
        pass
    tool = shutil.which("useradd")
    if tool is None:
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and there is no account {ACCOUNT_NAME!r} and no 'useradd' "
            f"to create "
            f"it: create that account, or run as an ordinary user."
        )
    made = subprocess.run(
        [tool, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(ACCOUNT_NAME).pw_uid  # another process may have been quicker
    except KeyError:
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and 'useradd {ACCOUNT_NAME}' failed: {made.stderr.strip()!r}: "
            f"create that account, or run as an ordinary user."
        ) from None


def _clean_environment() -> dict[str, str]:
    """The caller's environment without what would steer libpq, initdb or the language of messages."""
    dropped = ("LC_", "LANGUAGE", "PG")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return kept | {"LANG": "C", "HOME": "/"}
