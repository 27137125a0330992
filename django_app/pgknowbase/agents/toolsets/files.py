"""Files in a folder of the user's own."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from asgiref.sync import sync_to_async

from pgknowbase.agents.adapter import RunContext, toolset
from pgknowbase.agents.toolsets.access import signed_in
from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError, ToolRefusedError

LARGEST: Final = 1_000_000
MOST: Final = 1000
# No part of a path is followed if it is a symlink, at the time it is opened: there is nothing to race against.
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def file_tools(root: str | Path | None = None) -> Any:
    """``list_files``, ``read_file``, ``write_file`` and ``delete_file`` under ``root`` (default ``FILES_ROOT``)."""

    async def opened(ctx: RunContext[Any]) -> Path:
        user = await signed_in(ctx)
        base = Path(root or get_settings().agents.files_root)
        if not base.is_absolute():
            raise ConfigurationError("PGKNOWBASE['AGENTS']['FILES_ROOT'] is missing or relative: set an absolute path.")
        return base / f"user-{user.pk}"

    async def list_files(ctx: RunContext[Any], folder: str = "") -> list[str]:
        """Names in a folder of the user's; folders end with "/".

        Args:
            ctx: Of the run.
            folder: Such as "reports"; empty for the uppermost.
        """
        return await sync_to_async(_list)(await opened(ctx), folder)

    async def read_file(ctx: RunContext[Any], path: str) -> str:
        """The text of a file of the user's.

        Args:
            ctx: Of the run.
            path: Such as "reports/may.txt".
        """
        return await sync_to_async(_read)(await opened(ctx), path)

    async def write_file(ctx: RunContext[Any], path: str, text: str) -> str:
        """Write a file of the user's; folders are made, a file that exists is replaced.

        Args:
            ctx: Of the run.
            path: Such as "reports/may.txt".
            text: All of it.
        """
        return await sync_to_async(_write)(await opened(ctx), path, text)

    async def delete_file(ctx: RunContext[Any], path: str) -> str:
        """Delete a file of the user's.

        Args:
            ctx: Of the run.
            path: Such as "reports/may.txt".
        """
        return await sync_to_async(_delete)(await opened(ctx), path)

    return toolset("files", [list_files, read_file, write_file, delete_file])


def _list(base: Path, folder: str) -> list[str]:
    parts = _parts(folder, empty=True)
    if not parts and not base.exists() and not base.is_symlink():  # nothing was written yet
        return []
    with _folder(base, parts) as descriptor, os.scandir(descriptor) as entries:
        names = [
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in entries
            if not entry.is_symlink()
        ]
    return sorted(names)[:MOST]


def _read(base: Path, path: str) -> str:
    *folders, name = _parts(path)
    with (
        _folder(base, folders) as descriptor,
        _refusing(path),
        os.fdopen(os.open(name, os.O_RDONLY | _FILE, dir_fd=descriptor), "rb") as file,
    ):
        _check_regular(file.fileno(), path)
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ToolRefusedError(f"The file {path!r} is larger than {LARGEST} bytes: read another.")
    return content.decode(errors="replace")


def _write(base: Path, path: str, text: str) -> str:
    content = text.encode("utf-8", "replace")
    if len(content) > LARGEST:
        raise ToolRefusedError(f"The text has {len(content)} bytes: write at most {LARGEST}.")
    *folders, name = _parts(path)
    with _folder(base, folders, make=True) as descriptor, _refusing(path):
        flags = os.O_WRONLY | os.O_CREAT | _FILE
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=descriptor), "wb") as file:
            _check_regular(file.fileno(), path)
            file.truncate()
            file.write(content)
    return f"wrote {len(content)} bytes"


def _delete(base: Path, path: str) -> str:
    *folders, name = _parts(path)
    with _folder(base, folders) as descriptor, _refusing(path):
        os.unlink(name, dir_fd=descriptor)
    return "deleted"


def _parts(path: str, *, empty: bool = False) -> list[str]:
    """The names in a relative path, each of which leads down."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    bad = path.startswith("/") or "\\" in path or any(part == ".." or not part.isprintable() for part in parts)
    if bad or len(path) > 500 or not (parts or empty):
        raise ToolRefusedError(f"The path {path[:100]!r} is refused: use one such as 'reports/may.txt', without '..'.")
    return parts


@contextmanager
def _folder(base: Path, parts: list[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder of the user's, reached step by step."""
    if make:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = "/".join(parts) or "."
    with _refusing(where):
        descriptor = os.open(base, _FOLDER)
    try:
        for part in parts:
            with _refusing(where):
                descriptor = _down(descriptor, part, make=make)
        yield descriptor
    finally:
        os.close(descriptor)


def _down(descriptor: int, part: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=descriptor)
    below = os.open(part, _FOLDER, dir_fd=descriptor)
    os.close(descriptor)
    return below


def _check_regular(descriptor: int, path: str) -> None:
    found = os.fstat(descriptor)
    # A second name may be that of a file outside.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise ToolRefusedError(f"{path!r} is no plain file: use another.")


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolRefusedError(
            f"{path!r} cannot be used ({error.strerror}): see list_files for what there is."
        ) from error
