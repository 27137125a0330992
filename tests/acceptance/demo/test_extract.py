"""The extractor against the real standard library and the real Django."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from demo.library.extract import EntryRecord, LibraryRecords, extract_library
from demo.library.extract.syntax import parse_module


@pytest.fixture(scope="module")
def python() -> LibraryRecords:
    return extract_library("python")


@pytest.fixture(scope="module")
def django() -> LibraryRecords:
    return extract_library("django")


def entry(records: LibraryRecords, qualname: str) -> EntryRecord:
    return next(e for e in records.entries if e.qualname == qualname)


def test_source_function_has_signature_docstring_and_line(python):
    found = entry(python, "gzip.open")
    assert (found.kind, found.module, found.name) == ("function", "gzip", "open")
    assert found.signature.startswith("(filename, mode='rb', ")
    assert "Open a gzip-compressed file" in found.docstring
    assert found.line is not None


def test_builtin_methods_have_signatures_without_self(python):
    assert entry(python, "builtins.str.join").signature == "(iterable, /)"
    assert entry(python, "builtins.dict.pop").signature == "(k[,d]) -> v"


@pytest.mark.parametrize(
    "qualname",
    [
        "asyncio.run",  # asyncio.runners
        "collections.deque",  # C, _collections
        "collections.abc.Mapping",  # _collections_abc
        "concurrent.futures.Executor.submit",  # a private module
        "functools.lru_cache",
        "itertools.chain",
        "math.sqrt",
        "os.getcwd",  # posix
        "os.path.join",  # posixpath
        "sqlite3.connect",  # through sqlite3.dbapi2, from C
        "unittest.TestCase",
    ],
)
def test_reexports_have_their_public_name(python, qualname):
    assert entry(python, qualname).docstring


@pytest.mark.parametrize("hidden", ["asyncio.runners.run", "posix.getcwd", "posixpath.join", "unittest.case.TestCase"])
def test_reexports_appear_once(python, hidden):
    assert hidden not in {e.qualname for e in python.entries}


def test_django_is_known_by_the_names_people_import(django):
    names = {e.qualname for e in django.entries}
    assert {
        "django.core.mail.EmailMessage",
        "django.db.models.QuerySet.bulk_create",
        "django.http.HttpRequest",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.shortcuts.get_object_or_404",
        "django.views.decorators.csrf.csrf_protect",
    } <= names
    assert "django.db.models.query.QuerySet" not in names


@pytest.mark.parametrize("library", ["python", "django"])
def test_names_are_public_unique_and_documented(library, request):
    records: LibraryRecords = request.getfixturevalue(library)
    names = [e.qualname for e in records.entries]
    assert len(names) == len(set(names)) > 1500
    assert not [n for n in names if any(part.startswith("_") for part in n.split("."))]
    assert min(len(e.docstring) for e in records.entries) >= 20
    assert {e.module for e in records.entries} <= {m.name for m in records.modules}
    assert not [m.name for m in records.modules if {"tests", "migrations", "locale"} & set(m.name.split(".")[1:])]


def test_limit_prefers_the_top_of_packages():
    few = extract_library("django", limit=50)
    assert len(few.entries) == 50
    assert all(e.kind != "method" for e in few.entries)
    assert {e.module for e in few.entries} <= {m.name for m in few.modules}


def test_same_files_give_the_same_records(django):
    assert extract_library("django") == django


def test_nothing_with_source_is_imported():
    code = """
        import sys
        from demo.library.extract import extract_library
        extract_library("python")
        extract_library("django")
        read = {"django", "imaplib", "mailbox", "smtplib", "sqlite3", "tarfile", "unittest", "xmlrpc"}
        skipped = {"antigravity", "idlelib", "this", "tkinter", "turtle"}
        print(*sorted((read | skipped) & set(sys.modules)))
    """
    app = Path(__file__).parents[3] / "django_app"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        cwd=app,
    )
    assert done.stdout.strip() == ""


def test_a_module_is_read_without_running_it(tmp_path):
    source = tmp_path / "danger.py"
    source.write_text(
        textwrap.dedent('''
            """A module that must not run."""
            raise SystemExit("imported")

            __all__ = ["shown"]

            def shown(a, /, b: int = 1, *rest, key=None, **options) -> str:
                """Shown to everyone."""

            class Hidden:
                """Not in __all__."""

            class Box:
                """A box."""

                def __init__(self, size):
                    """Make a box of ``size``."""

                @property
                def volume(self):
                    """The volume."""

                @staticmethod
                def empty(size):
                    """An empty box."""

                @classmethod
                def full(cls, size):
                    """A full box."""

                def _secret(self):
                    """Nobody sees this."""
        ''')
    )
    module = parse_module("danger", source)
    assert module.docstring == "A module that must not run."
    assert module.exposes("shown")
    assert not module.exposes("Hidden")
    assert module.definitions["shown"][0].signature == "(a, /, b: int=1, *rest, key=None, **options) -> str"
    box = {d.name: d for d in module.definitions["Box"]}
    assert set(box) == {"Box", "Box.volume", "Box.empty", "Box.full"}
    assert box["Box"].docstring == "A box.\n\nMake a box of ``size``."
    assert [box[n].signature for n in ("Box", "Box.volume", "Box.empty", "Box.full")] == [
        "(size)",
        "",
        "(size)",
        "(size)",
    ]
