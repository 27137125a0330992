"""``pgknowbase_init`` adds settings to a project that ``startproject`` made, asks what it must, overwrites nothing."""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pgknowbase.__main__ import settings_of
from pgknowbase.management.commands.pgknowbase_init import POSTGRES_LABELS
from tests.integration.embedded.conftest import end_servers_in

ROOT = Path(__file__).parents[2]
OUTSIDE = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "OPENAI_API_KEY")


@pytest.fixture
def project():
    """A new project in a folder that Postgres may pass through."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    folder = directory / "mysite"
    folder.mkdir(mode=0o711)
    made = run(folder, "-m", "django", "startproject", "mysite", ".")
    assert made.returncode == 0, made.stderr
    yield folder
    left = end_servers_in(directory)
    shutil.rmtree(directory)
    assert not left, f"left running: {left}"


def run(folder, *command, answers=None, **environment):
    """Run Python in ``folder``; ``answers`` are what is typed."""
    known = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    path = os.pathsep.join([str(ROOT / "django_app"), str(ROOT)])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**known, "PYTHONPATH": path, **environment},
        input="" if answers is None else "".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def init(folder, *options, answers=None, **environment):
    """``python -m pgknowbase init``, which asks nothing unless there are answers."""
    options = options if answers is not None else ("--no-input", *options)
    return run(folder, "-m", "pgknowbase", "init", *options, answers=answers, **environment)


def settings(folder):
    return folder / "mysite" / "settings.py"


def values(folder, **environment):
    """What the settings say, without starting a server: that of DATABASE_URL is only named."""
    before = dict(os.environ)
    os.environ.update({"DATABASE_URL": "postgresql://somewhere/db", **environment})
    try:
        return runpy.run_path(str(settings(folder)))
    finally:
        os.environ.clear()
        os.environ.update(before)


def append(folder, text):
    path = settings(folder)
    path.write_text(path.read_text() + text)


def test_a_new_project_works(project):
    done = init(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:4] == [
        f"Added to {settings(project)}:",
        "  INSTALLED_APPS  django.contrib.postgres, pgtrigger, pgknowbase",
        f"  DATABASES       {POSTGRES_LABELS['embedded']}",
        "  PGKNOWBASE      LocalEmbedder, all-MiniLM-L6-v2, 384 dimensions",
    ]
    for command in (["migrate", "-v0"], ["check", "--database", "default", "--fail-level", "WARNING"]):
        ran = run(project, "manage.py", *command)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    written = settings(project).read_bytes()
    again = init(project)
    assert (again.returncode, again.stdout) == (
        0,
        f"{settings(project)} has all settings of pgknowbase: nothing was written.\n",
    )
    assert settings(project).read_bytes() == written


def test_the_lines_in_the_documentation(project):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").partition("## `pgknowbase_init`")[2]
    shown = page.partition("```python\n")[2].partition("```")[0]
    assert init(project, "--dry-run").stdout.partition("\n")[2] == shown


def test_as_a_command_of_the_project(project):
    append(project, 'INSTALLED_APPS += ["pgknowbase"]\n')
    done = run(project, "manage.py", "pgknowbase_init", "--no-input", "--embedding", "static")
    assert done.returncode == 0, done.stderr
    assert "INSTALLED_APPS  django.contrib.postgres, pgtrigger\n" in done.stdout
    found = values(project)
    assert found["INSTALLED_APPS"].count("pgknowbase") == 1
    assert found["PGKNOWBASE"]["EMBEDDINGS"]["default"]["MODEL"] == "wordllama-256"


def test_a_server(project):
    done = init(project, DATABASE_URL="postgresql://ada@db.example.org/site")
    assert "  DATABASES       the server that DATABASE_URL names\n" in done.stdout
    found = values(project, DATABASE_URL="postgresql://ada@db.example.org/site")["DATABASES"]["default"]
    assert (found["HOST"], found["NAME"]) == ("db.example.org", "site")


def test_what_is_there_stays(project):
    own = {"EMBEDDINGS": {"default": {"BACKEND": "x.Y", "MODEL": "m", "DIMENSIONS": 3}}}
    postgres = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "mine"}}
    append(project, f"INSTALLED_APPS = tuple(INSTALLED_APPS)\nPGKNOWBASE = {own}\nDATABASES = {postgres}\n")
    before = settings(project).read_text()
    done = init(project)
    assert done.returncode == 0, done.stderr
    assert settings(project).read_text().startswith(before)
    found = values(project)
    assert (found["PGKNOWBASE"], found["DATABASES"]) == (own, postgres)
    assert found["INSTALLED_APPS"][-3:] == ["django.contrib.postgres", "pgtrigger", "pgknowbase"]
    for option in ("--postgres=url", "--embedding=static"):
        refused = init(project, option)
        assert refused.returncode in (0, 1)


def test_lines_end_as_before(project):
    path = settings(project)
    path.write_bytes(b"# -*- coding: latin-1 -*-\r\n# caf\xe9\r\n" + path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    assert init(project).returncode == 0
    written = path.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n")
    assert b"caf\xe9" in written
    assert values(project)["PGKNOWBASE"]


def test_nothing_is_written_by_a_dry_run(project):
    before = settings(project).read_bytes()
    done = init(project, "--dry-run", "--embedding", "openai", "--model", "m", "--dimensions", "5", "--api-key-env", "")
    assert settings(project).read_bytes() == before
    found = {"INSTALLED_APPS": [], "BASE_DIR": project}
    os.environ["DATABASE_URL"] = "postgresql://somewhere/db"
    try:
        exec(done.stdout, found)
    finally:
        del os.environ["DATABASE_URL"]
    assert found["PGKNOWBASE"]["EMBEDDINGS"]["default"] == {
        "BACKEND": "pgknowbase.embeddings.OpenAIEmbedder",
        "MODEL": "m",
        "DIMENSIONS": 5,
        "OPTIONS": {"API_KEY_ENV": None},
    }


def test_without_a_base_dir(project):
    path = settings(project)
    path.write_text(path.read_text().replace("BASE_DIR", "HERE"))
    assert init(project).returncode == 0
    assert 'embedded_database(Path(__file__).resolve().parent / ".pgdata")' in path.read_text()


# Questions


def test_answers(project):
    done = init(project, answers=["2", "nonsense", "openai", "http://localhost:11434/v1", "nomic", "768", "", "yes"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'nonsense' is none of them." in done.stdout
    assert values(project)["PGKNOWBASE"]["EMBEDDINGS"]["default"] == {
        "BACKEND": "pgknowbase.embeddings.OpenAIEmbedder",
        "MODEL": "nomic",
        "DIMENSIONS": 768,
        "OPTIONS": {"BASE_URL": "http://localhost:11434/v1", "API_KEY_ENV": None},
    }
    assert "DATABASE_URL" in settings(project).read_text()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "No answer, so nothing was written: pass --no-input"),
        (["", "", "n"], "Nothing was written."),
        (["", "openai", "", "m", "many"], "'many' is not a length of vectors"),
        (["", "openai", "", "m", "9999"], "'9999' is not a length of vectors"),
    ],
)
def test_answers_that_write_nothing(project, answers, message):
    before = settings(project).read_bytes()
    done = init(project, answers=answers)
    assert (done.returncode, settings(project).read_bytes()) == (1, before)
    assert message in done.stderr


def test_defaults_by_return(project):
    assert init(project, answers=["", "", ""]).returncode == 0
    assert values(project)["PGKNOWBASE"]["EMBEDDINGS"]["default"]["MODEL"] == "all-MiniLM-L6-v2"


# What it refuses


def refused(folder, message, *options, code=1):
    before = settings(folder).read_bytes()
    done = init(folder, *options)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert settings(folder).read_bytes() == before
    assert "Traceback" not in done.stderr


def test_rows_in_sqlite(project):
    (project / "db.sqlite3").write_bytes(b"rows")
    refused(project, "db.sqlite3 has rows, which stay where they are")
    assert init(project, "--postgres", "embedded").returncode == 0


def test_another_database(project):
    append(project, 'DATABASES["default"]["ENGINE"] = "django.db.backends.mysql"\n')
    refused(project, "has the engine 'django.db.backends.mysql'")


def test_options_that_do_not_fit(project):
    refused(project, "How long the vectors of 'm' are is not known here", "--model", "m")
    refused(project, "are not for 'static'", "--embedding", "static", "--model", "m")
    refused(project, "invalid choice", "--embedding", "x", code=2)
    refused(project, "is not a whole number", "--dimensions", "x", code=2)


def test_settings_that_cannot_be_read(project):
    append(project, "import no_such_module\n")
    refused(project, "The settings module 'mysite.settings' cannot be imported (No module named 'no_such_module')")
    settings(project).write_text("SECRET_KEY = (\n")
    refused(project, "cannot be imported")
    settings(project).write_text("DEBUG = True\n")
    refused(project, "are not a Python file with INSTALLED_APPS")


def test_where_there_is_no_project(tmp_path):
    done = init(tmp_path)
    assert (done.returncode, "run this where manage.py is" in done.stderr) == (1, True)
    done = run(tmp_path, "-m", "pgknowbase", "start")
    assert (done.returncode, done.stderr.startswith("usage: python -m pgknowbase init")) == (2, True)
    (tmp_path / "manage.py").write_text("this is no Python")
    assert settings_of(tmp_path / "manage.py") is None
    assert settings_of(tmp_path / "nothing.py") is None
