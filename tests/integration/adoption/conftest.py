"""Databases that pgai has made, with its own worker, through a server of ours that counts what it is asked."""

import asyncio
import io
import threading
from contextlib import contextmanager

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase, override_settings

from benchmarks.embedding_server import EmbeddingServer
from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.core.pgai import disable_tracing
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import OutboxEvent
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.worker import Worker
from tests.projects.blog.models import Note
from tests.projects.press.models import Cell, Page, Slip
from tests.projects.shapes.models import Moment, Person, Token

# pgai's own defaults but for the sizes.
PGAI_SPLITTER = {"SEPARATORS": ["\n\n", "\n", ".", "?", "!", " ", ""]}
SPACE = {"TEMPLATE": "$chunk", "CHUNK_SIZE": 120, "CHUNK_OVERLAP": 20, "SPLITTER": PGAI_SPLITTER}
CHUNKED = "chunking => ai.chunking_recursive_character_text_splitter(120, 20)"
MODELS = (Note, Cell, Slip, Moment, Token, Page, Person)


class CountingServer(EmbeddingServer):
    """Counts the requests that it answers."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.calls = 0

    @contextmanager
    def request(self):
        self.calls += 1
        with super().request():
            yield


@pytest.fixture(scope="package")
def server(django_db_setup):
    server = CountingServer(("127.0.0.1", 0), get_embedder())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OPENAI_API_KEY", "unused")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)  # pgai's worker serves the vectorizers of our spaces too
        yield server
    server.stop()
    thread.join()


def work_as_pgai(conninfo, vectorizers=()):
    """Let pgai's worker drain every queue once, or those of some vectorizers, by their ids."""
    disable_tracing()
    from pgai.vectorizer import Worker as PgaiWorker

    error = asyncio.run(PgaiWorker(conninfo, once=True, vectorizer_ids=list(vectorizers)).run())
    assert error is None, error


class World:
    """The test database with pgai's vectorizers over tables of the test project."""

    def __init__(self, server):
        self.server = server

    @staticmethod
    def sql(statement, *params):
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else None

    def create(self, name, table, column, *options):
        """A vectorizer named ``name``, told as pgai's users tell it."""
        options = [f"ai.embedding_openai('wordllama-256', 256, base_url => '{self.server.url}')", *options]
        self.sql(
            f"""SELECT ai.create_vectorizer('{table}', name => '{name}', loading => ai.loading_column('{column}'),
            embedding => {", ".join(options)})"""
        )

    def work_as_pgai(self):
        work_as_pgai(_conninfo("default"))
        self.sql("DELETE FROM ai.vectorizer_worker_process")

    @staticmethod
    def command(*arguments, **options):
        out, err = io.StringIO(), io.StringIO()
        call_command("pgknowbase_adopt_pgai", *arguments, stdout=out, stderr=err, verbosity=0, **options)
        return out.getvalue()

    @staticmethod
    def space_command(*arguments, **options):
        call_command("pgknowbase_space", *arguments, stdout=io.StringIO(), verbosity=0, **options)

    @staticmethod
    def work():
        return Worker().run_until_idle()

    def vectorizer(self, name):
        ((config, disabled, queue),) = self.sql(
            "SELECT config::text, disabled, format('%%I.%%I', queue_schema, queue_table) FROM ai.vectorizer"
            " WHERE name = %s",
            name,
        )
        return config, disabled, queue

    def waiting(self, name, columns="id"):
        """The keys that wait in pgai's queue."""
        return {row[0] for row in self.sql(f"SELECT {columns}::text FROM {self.vectorizer(name)[2]}")}

    def triggers(self, table):
        """The states of pgai's triggers on a table."""
        return {
            row[0]
            for row in self.sql(
                "SELECT tgenabled::text FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE '_vectorizer%%'",
                table,
            )
        }


@pytest.fixture(autouse=True)
def nothing_waits(request):
    """The tests of a module share the database, but not what waits in the outbox."""
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("transactional_db")
        OutboxEvent.objects.all().delete()


@pytest.fixture
def other_session():
    """Opens a transaction of somebody else; it is rolled back."""

    @contextmanager
    def session():
        with psycopg.connect(_conninfo("default")) as opened:
            yield opened
            opened.rollback()

    return session


@pytest.fixture(scope="module")
def world(server, django_db_blocker):
    embedding = {
        "BACKEND": "pgknowbase.embeddings.OpenAIEmbedder",
        "MODEL": "wordllama-256",
        "DIMENSIONS": 256,
        "OPTIONS": {"BASE_URL": server.url},
    }
    project = {**django_settings.PGKNOWBASE, "EMBEDDINGS": {"default": embedding}, "SPACE": SPACE}
    # The tests of a module share the database.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: None)
    with django_db_blocker.unblock():
        with override_settings(PGKNOWBASE=project):
            rebuild_space("default")
            yield World(server)
        World.sql(
            "SELECT ai.drop_vectorizer(v.id, drop_all => true) FROM ai.vectorizer AS v"
            " WHERE v.source_table <> 'pgknowbase_document'"
        )
        World.sql("ALTER TABLE press_slip DROP COLUMN IF EXISTS vector")
        for model in MODELS:
            model._base_manager.all().delete()
        monkeypatch.undo()
        call_command("flush", interactive=False, verbosity=0)
        OutboxEvent.objects.all().delete()
        rebuild_space("default")
