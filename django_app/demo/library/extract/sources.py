"""Which modules are read, found without importing any of them."""

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from demo.library.extract.records import Library

# Tests, toys and tools; what only other platforms have; and what PEP 594 and PEP 632 removed.
_TOOLS = (
    "__future__ __hello__ __main__ __phello__ _pyrepl antigravity bdb curses ensurepip idlelib lib2to3 pdb"
    " pydoc_data readline symtable test this tkinter turtle turtledemo zipimport"
)
_OTHER_PLATFORMS = "msilib msvcrt nt ntpath nturl2path winreg winsound"
_REMOVED = (
    "aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp mailcap nis nntplib"
    " ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib"
)
SKIPPED_TOP_LEVEL = frozenset(f"{_TOOLS} {_OTHER_PLATFORMS} {_REMOVED}".split())
SKIPPED_PARTS = frozenset({"test", "tests", "testing", "migrations", "locale", "_vendor", "_bundled", "__pycache__"})
SKIPPED_PACKAGES = (
    "asyncio.windows_",
    "encodings.",
    "multiprocessing.popen_",
    "django.conf.app_template",
    "django.conf.project_template",
    "django.contrib.admindocs",
    "django.contrib.gis",
    "django.core.management.commands",
    "django.db.backends.",
    "django.db.models.sql",
)
IMPLEMENTATIONS = frozenset({"posix"})
PUBLIC_ALIASES = {"posixpath": "os.path", "genericpath": "os.path"}


def is_public(dotted: str) -> bool:
    """Whether no part of the name begins with an underscore and it is not merely the inside of another."""
    return dotted not in IMPLEMENTATIONS and not any(part.startswith("_") for part in dotted.split("."))


def find_sources(library: Library) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of each Python source module, private ones included, in a stable order."""
    if library == "django":
        yield from _walk("django", _django_root())
        return
    root = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names - SKIPPED_TOP_LEVEL):
        if (root / name / "__init__.py").is_file():
            yield from _walk(name, root / name)
        elif (root / f"{name}.py").is_file():
            yield name, root / f"{name}.py"


def find_extensions() -> Iterator[str]:
    """Public standard modules without Python source, in a stable order."""
    for name in sorted(sys.stdlib_module_names - SKIPPED_TOP_LEVEL):
        if is_public(name) and is_extension(name):
            yield name


def is_extension(name: str) -> bool:
    """Whether ``name`` is a top-level standard module without Python source."""
    if name not in sys.stdlib_module_names or "." in name:
        return False
    spec = importlib.util.find_spec(name)
    origin = spec.origin if spec else None
    return origin is not None and (origin == "built-in" or origin.endswith(tuple(EXTENSION_SUFFIXES)))


def _django_root() -> Path:
    spec = importlib.util.find_spec("django")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("Django is not installed here: run 'pip install Django'.")
    return Path(spec.origin).parent


def _walk(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    yield package, folder / "__init__.py"
    for path in sorted(folder.iterdir()):
        name = f"{package}.{path.stem}"
        if path.stem in SKIPPED_PARTS or name.startswith(SKIPPED_PACKAGES):
            continue
        if (path / "__init__.py").is_file():
            yield from _walk(name, path)
        elif path.suffix == ".py" and path.stem not in ("__init__", "__main__"):
            yield name, path
