"""The data directory: checked, created, and filled by initdb so that a kill leaves nothing half-made."""

import os
import secrets
import shutil
from pathlib import Path

from pgknowbase.embedded.account import Account
from pgknowbase.errors import EmbeddedPostgresError

SUPERUSER = "postgres"
PASSWORD_FILE = "pgknowbase.password"  # noqa: S105  (a file name)
HBA_FILE = "pgknowbase_hba.conf"
_GROWING = ".pgknowbase-initdb"
_GROWN = ".pgknowbase-new"

# The socket lies in a directory that nobody else can enter; TCP asks for the generated password.
_HBA = """\
# Written by pgknowbase.embedded at each start.
local all         all               trust
local replication all               trust
host  all         all 127.0.0.1/32  scram-sha-256
"""


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
            f"User {account.name!r} has no permission for the data directory {str(data_dir)!r}, which "
            f"belongs to user "
            f"{data_dir.stat().st_uid}: choose another, or run as the user whose it is."
        )


def ensure_cluster(data_dir: Path, account: Account, binaries: Path, version: int, *, turn: int, sync: bool) -> None:
    """Make ``data_dir`` a Postgres cluster of ``version`` unless it is one.

    ``turn`` is the descriptor of the directory's lock. initdb inherits it, so that nobody interferes with an
    initdb whose starter was killed.
    """
    if not _is_cluster(data_dir):
        _check_empty(data_dir)
        if not (data_dir / _GROWN).exists():
            _initdb(data_dir, account, binaries, version, turn=turn, sync=sync)
        _move_in(data_dir)
    found = (data_dir / "PG_VERSION").read_text().strip()
    if found != str(version):
        raise EmbeddedPostgresError(
            f"The data directory {str(data_dir)!r} belongs to Postgres {found!r}, not {version!r}: pass "
            f"version={found}, choose another directory, or move the data with pg_dump."
        )


def write_access_rules(data_dir: Path, account: Account) -> Path:
    """Write our own client authentication file, whatever the cluster came with."""
    path = data_dir / HBA_FILE
    _write_private(path, _HBA, account)
    return path


def read_password(data_dir: Path) -> str | None:
    """The password of the superuser over TCP, if one was ever generated."""
    try:
        descriptor = os.open(data_dir / PASSWORD_FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor) as file:
        return file.read().strip()


def new_password(data_dir: Path, account: Account) -> str:
    """Generate a password and keep it in the data directory, readable by its owner only."""
    password = secrets.token_urlsafe(24)
    _write_private(data_dir / PASSWORD_FILE, password + "\n", account)
    return password


def _is_cluster(data_dir: Path) -> bool:
    return (data_dir / "PG_VERSION").is_file()


def _check_empty(data_dir: Path) -> None:
    if (data_dir / _GROWN).exists():  # a creation that was killed while moving in
        return
    others = sorted(entry.name for entry in data_dir.iterdir() if entry.name != _GROWING)
    if others:
        raise EmbeddedPostgresError(
            f"{str(data_dir)!r} is not a Postgres data directory and not empty (it holds {others[0]!r}): "
            f"choose "
            f"an empty or new directory."
        )


def _check_reach(data_dir: Path, account: Account) -> None:
    closed = account.first_closed([*reversed(data_dir.parents)])
    if closed is not None:
        raise EmbeddedPostgresError(
            f"Postgres cannot run as root; it runs as {account.name!r}, who may not pass through "
            f"{str(closed)!r} to "
            f"the data directory {str(data_dir)!r}: choose a data directory outside of it, such as "
            f"'/var/lib/pgknowbase/data', or run: chmod o+x {str(closed)!r}"
        )


def _initdb(data_dir: Path, account: Account, binaries: Path, version: int, *, turn: int, sync: bool) -> None:
    workplace = data_dir / _GROWING
    shutil.rmtree(workplace, ignore_errors=True)
    provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
    # initdb would ask for a password at once; the rules in force are those of write_access_rules.
    fixed: list[str | Path] = [
        binaries / "initdb",
        "-D",
        workplace,
        "-U",
        SUPERUSER,
        "--encoding=UTF8",
        "--auth=trust",
    ]
    fixed += ["--no-instructions", *provider, *([] if sync else ["--no-sync"])]
    for locale in ("C.UTF-8", "C"):  # not every system has C.UTF-8 in its C library
        made = account.run([*fixed, f"--locale={locale}"], cwd=data_dir, inherit=[turn])
        if made.returncode == 0:
            break
        if "invalid locale" not in made.stderr:
            break
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb could not create a cluster in {str(data_dir)!r}: {tail(made.stderr)}{advice(made.stderr)}"
        )
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


def _write_private(path: Path, text: str, account: Account) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    account.own(fresh)
    fresh.rename(path)


def tail(text: str, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(text.strip().splitlines()[-lines:])


def advice(text: str) -> str:
    """What to do about a failure that Postgres reported in ``text``."""
    known = {
        "No space left on device": "free some disk space, or choose a data directory on another disk.",
        "Address already in use": "choose another port, or port=0 for any free one.",
        "could not create shared memory": "raise its limit, or lower shared_buffers in options.",
        "unrecognized configuration parameter": "correct the name in options.",
        "invalid value for parameter": "correct the value in options.",
        "Permission denied": "choose a data directory that the account may write to.",
    }
    for symptom, remedy in known.items():
        if symptom in text:
            return f"\nTo mend it: {remedy}"
    return "\nTo mend it: see the lines above."
