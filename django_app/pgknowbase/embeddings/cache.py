"""Files that are built once per machine and verified whenever they are read."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from pgknowbase.errors import ConfigurationError

_VARIABLE = "PGKNOWBASE_CACHE_DIR"


def cache_directory(option: str | os.PathLike[str] | None = None) -> Path:
    """The option, else ``PGKNOWBASE_CACHE_DIR``, else the user's cache directory of the platform."""
    chosen = option or os.environ.get(_VARIABLE) or platformdirs.user_cache_dir("pgknowbase", appauthor=False)
    return Path(chosen).expanduser()


def is_cached(path: Path) -> bool:
    """Whether a built file is there (not whether it is whole)."""
    return path.is_file() and _checksum_path(path).is_file()


def read_or_build(path: Path, build: Callable[[Path], None]) -> bytes:
    """The verified bytes of ``path``; when it is absent or damaged, ``build(temporary)`` writes it anew.

    Processes may do this at the same time: each builds a file of its own and moves it into place in one step,
    and the bytes returned are the bytes that were verified.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    data = _read_verified(path)
    if data is not None:
        return data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as directory:
            temporary = Path(directory) / path.name
            build(temporary)
            data = temporary.read_bytes()
            checksum = Path(directory) / _checksum_path(path).name
            checksum.write_text(hashlib.sha256(data).hexdigest() + "\n", encoding="ascii")
            temporary.replace(path)
            checksum.replace(_checksum_path(path))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write {path.name!r} into the cache directory {str(path.parent)!r} "
            f"({error.strerror or error}): make "
            f"it writable, or set the option CACHE_DIR or the environment variable {_VARIABLE}."
        ) from error
    return data


def _checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _read_verified(path: Path) -> bytes | None:
    try:
        expected = _checksum_path(path).read_text(encoding="ascii", errors="replace").strip()
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == expected else None
