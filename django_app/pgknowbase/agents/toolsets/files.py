"""Files in a folder of the user's own.

Paths come from a model, and what a model writes may come from an attacker. So no path is ever resolved by name: folders
are opened one by one, each relative to the descriptor of the one above and without following symlinks. A check of the
path followed by an open of the path could be raced; this cannot.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from asgiref.sync import sync_to_async

from pgknowbase.agents.tools import RunContext, Toolset
from pgknowbase.agents.toolsets.access import signed_in
from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError, ToolRefusedError

MAX_BYTES: Final = 1_000_000  # of one file
MOST_NAMES: Final = 1000
# Of all that a user keeps: without a bound, the runs of one user could fill the disk.
MOST_ENTRIES: Final = 1000  # files and folders
MOST_TOTAL_BYTES: Final = 50_000_000
MOST_DEPTH: Final = 10
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that opening a named pipe does not hang.
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def file_tools(root: str | Path | None = None) -> Toolset:
    """``list_files``, ``read_file``, ``write_file`` and ``delete_file`` under ``root`` (default ``FILES_ROOT``)."""

    async def user_folder(ctx: RunContext[Any]) -> Path:
        user = await signed_in(ctx)
        base = Path(root or get_settings().agents.files_root)
        if not base.is_absolute():
            raise ConfigurationError("PGKNOWBASE['AGENTS']['FILES_ROOT'] is missing or relative: set an absolute path.")
        return base / f"user-{user.pk}"

    async def list_files(ctx: RunContext[Any], folder: str = "") -> list[str]:
        """Names in a folder of the user's; folders end with "/".

        Args:
            ctx: The context of the run.
            folder: Such as "reports"; empty for the top folder.
        """
        return await sync_to_async(_list)(await user_folder(ctx), folder)

    async def read_file(ctx: RunContext[Any], path: str) -> str:
        """The text of a file of the user's.

        Args:
            ctx: The context of the run.
            path: Such as "reports/may.txt".
        """
        return await sync_to_async(_read)(await user_folder(ctx), path)

    async def write_file(ctx: RunContext[Any], path: str, text: str) -> str:
        """Write a file of the user's; folders are made, a file that exists is replaced.

        Args:
            ctx: The context of the run.
            path: Such as "reports/may.txt".
            text: All of it.
        """
        return await sync_to_async(_write)(await user_folder(ctx), path, text)

    async def delete_file(ctx: RunContext[Any], path: str) -> str:
        """Delete a file of the user's.

        Args:
            ctx: The context of the run.
            path: Such as "reports/may.txt".
        """
        return await sync_to_async(_delete)(await user_folder(ctx), path)

    return Toolset("files", [list_files, read_file], writing=[write_file, delete_file])


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
    return sorted(names)[:MOST_NAMES]


def _read(base: Path, path: str) -> str:
    *folders, name = _parts(path)
    with (
        _folder(base, folders) as descriptor,
        _refuse_os_errors(path),
        os.fdopen(os.open(name, os.O_RDONLY | _FILE, dir_fd=descriptor), "rb") as file,
    ):
        _check_regular(file.fileno(), path)
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ToolRefusedError(f"The file {path!r} is larger than {MAX_BYTES} bytes: read another.")
    return content.decode(errors="replace")


def _write(base: Path, path: str, text: str) -> str:
    content = text.encode("utf-8", "replace")
    if len(content) > MAX_BYTES:
        raise ToolRefusedError(f"The text has {len(content)} bytes: write at most {MAX_BYTES}.")
    *folders, name = _parts(path)
    if len(folders) > MOST_DEPTH:
        raise ToolRefusedError(f"The path {path[:100]!r} is deeper than {MOST_DEPTH} folders: use a flatter one.")
    _check_room(base, len(folders) + 1, len(content))
    with _folder(base, folders, make=True) as descriptor, _refuse_os_errors(path):
        flags = os.O_WRONLY | os.O_CREAT | _FILE
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=descriptor), "wb") as file:
            _check_regular(file.fileno(), path)
            file.truncate()
            file.write(content)
    return f"wrote {len(content)} bytes"


def _check_room(base: Path, entries: int, size: int) -> None:
    """Refuse a file for which the user's folder has no room: ``entries`` new files and folders, ``size`` bytes.

    A file that is replaced counts twice, and writes at the same moment do not see each other: the bound is rough.
    """
    for _, folders, files, descriptor in os.fwalk(base, follow_symlinks=False) if base.exists() else ():
        entries += len(folders) + len(files)
        for name in files:
            with suppress(OSError):  # deleted meanwhile
                size += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
        if entries > MOST_ENTRIES:
            raise ToolRefusedError(f"There are {MOST_ENTRIES} files and folders, the most allowed: delete some first.")
        if size > MOST_TOTAL_BYTES:
            raise ToolRefusedError(f"All files together may have {MOST_TOTAL_BYTES} bytes: delete some first.")


def _delete(base: Path, path: str) -> str:
    *folders, name = _parts(path)
    with _folder(base, folders) as descriptor, _refuse_os_errors(path):
        os.unlink(name, dir_fd=descriptor)
    return "deleted"


def _parts(path: str, *, empty: bool = False) -> list[str]:
    """The parts of a relative path. None of them may lead up."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    bad = path.startswith("/") or "\\" in path or any(part == ".." or not part.isprintable() for part in parts)
    if bad or len(path) > 500 or not (parts or empty):
        raise ToolRefusedError(f"The path {path[:100]!r} is refused: use one such as 'reports/may.txt', without '..'.")
    return parts


@contextmanager
def _folder(base: Path, parts: list[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder, opened step by step from ``base``; with ``make`` missing ones are created."""
    if make:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = "/".join(parts) or "."
    with _refuse_os_errors(where):
        descriptor = os.open(base, _FOLDER)
    try:
        for part in parts:
            with _refuse_os_errors(where):
                descriptor = _open_below(descriptor, part, make=make)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_below(descriptor: int, part: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=descriptor)
    below = os.open(part, _FOLDER, dir_fd=descriptor)
    os.close(descriptor)
    return below


def _check_regular(descriptor: int, path: str) -> None:
    found = os.fstat(descriptor)
    # A file with a second name (a hard link) may be one outside of the folder.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise ToolRefusedError(f"{path!r} is not a plain file: use another.")


@contextmanager
def _refuse_os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolRefusedError(
            f"{path!r} cannot be used ({error.strerror}): see list_files for what there is."
        ) from error
