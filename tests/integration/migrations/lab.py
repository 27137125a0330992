"""A project with one app, whose models a test changes, with its commands and workers in processes of their own."""

import contextlib
import itertools
import os
import shutil
import threading
import time

import psycopg

from tests.integration.migrations.databases import ROOT, url
from tests.processes import Process

MODELS = """
from django.db import models
from pgknowbase.mixins import ExternalDataMixin

class Author(models.Model):
    name = models.TextField()

class Note(ExternalDataMixin, models.Model):
    title = models.TextField()
    text = models.TextField()
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    class ExternalDataMeta:
        watch_fields = ["title", "text", "author__name"]
        is_public = True

class Page(ExternalDataMixin, models.Model):
    body = models.TextField()
    class ExternalDataMeta:
        watch_fields = ["body"]
"""
SETTINGS = """
from tests.integration.migrations.no_models import *
INSTALLED_APPS = INSTALLED_APPS + ["lab"]
"""
ANSWER_YES = "import builtins; builtins.input = lambda *a: 'y'\n"
MAKE = ANSWER_YES + "from django.core.management import call_command\ncall_command('makemigrations', interactive=True)"
FILL = """
from lab.models import Author, Note
author = Author.objects.create(name="Ann")
Note.objects.create(title="t", text="words", author=author)
"""
WORK = "pgknowbase_worker --once --no-progress"
CONTENT = """
SELECT t.app_label || '.' || t.model, d.content
FROM pgknowbase_document d JOIN django_content_type t ON t.id = d.source
"""
SHOW = ["sql", CONTENT]
PATIENCE = 120.0  # seconds; a machine that runs other tests is slow


class Lab:
    """The project in ``directory`` on ``database``; call it with commands of ``manage.py``."""

    def __init__(self, database, directory):
        self.database = database
        self.directory = directory
        self.models = directory / "lab" / "models.py"

    @classmethod
    def create(cls, database, directory, models=MODELS):
        app = directory / "lab"
        app.mkdir(parents=True)
        (app / "__init__.py").touch()
        (app / "models.py").write_text(models)
        (directory / "lab_settings.py").write_text(SETTINGS)
        return cls(database, directory)

    def __call__(self, *commands):
        return self.database.manage(*commands, project=self.directory, module="lab_settings")

    def change(self, *pairs):
        """Replace parts of the models, and make the migrations; a rename is answered with yes."""
        text = self.models.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.models.write_text(text)
        self(["shell", "-c", MAKE], "makemigrations --check --dry-run")

    def write(self, sql):
        with self.database.connect() as connection:
            connection.execute(sql)

    def content(self):
        """Label and text of the only document."""
        ((label, text),) = self.database.rows(CONTENT)
        return label, text

    def waiting(self, label):
        return self.database.value("SELECT count(*) FROM pgknowbase_outbox WHERE source = %s", label)

    def copy(self, directory, database=None):
        """This version of the project, as it is now, in another directory; on the same database unless one is given."""
        directory = self.directory.parent / directory
        shutil.copytree(self.directory, directory, ignore=shutil.ignore_patterns("__pycache__"))
        return Lab(database or self.database, directory)

    @contextlib.contextmanager
    def writer(self, *statements):
        """Something that writes without a pause; a table that is not there yet, or no longer, is tried again."""
        stopping = threading.Event()

        def write():
            with self.database.connect() as connection:
                for number in itertools.count():
                    for statement in statements:
                        with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                            connection.execute(statement, [f"written {number}"])
                    if stopping.wait(0.01):
                        break

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    @contextlib.contextmanager
    def worker(self):
        """A standing worker. ``log`` of the process is the path of what it prints."""
        log = self.directory / "worker.log"
        with log.open("w") as out:
            process = Process(
                *("-W", "ignore", "-m", "django", "pgknowbase_worker", "--no-progress"),
                cwd=self.directory,
                env=os.environ
                | {
                    "DATABASE_URL": url(self.database.name, self.database.role),
                    "DJANGO_SETTINGS_MODULE": "lab_settings",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONPATH": os.pathsep.join(map(str, (self.directory, ROOT, ROOT / "django_app"))),
                },
                stdout=out,
                stderr=out,
            )
            process.log = log
            try:
                yield process
                assert process.poll() is None, log.read_text()
            finally:
                process.terminate()
                process.wait(PATIENCE)


def wait_until(condition, *, processes=()):
    """Wait until ``condition()`` holds, while ``processes`` run."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for process in processes:
            assert process.poll() is None, process.log.read_text()
        assert time.monotonic() < deadline, "".join(process.log.read_text() for process in processes)
        time.sleep(0.1)
