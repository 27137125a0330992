import io
import threading
from contextlib import contextmanager

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection, connections
from django.test import override_settings

from pgknowbase.core import gateway
from pgknowbase.models import Document, EmbeddingSpace, OutboxEvent
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.vectorizer.chunking import splitter_of
from pgknowbase.worker import Worker

LEXICAL = "pgknowbase.testing.lexical.LexicalEmbedder"
EMBEDDINGS = {
    "default": {"BACKEND": LEXICAL, "MODEL": "words", "DIMENSIONS": 256},
    "small": {"BACKEND": LEXICAL, "MODEL": "words", "DIMENSIONS": 64},
    "turned": {"BACKEND": "tests.integration.spaces.embedders.Turned", "MODEL": "words", "DIMENSIONS": 256},
}
SPACES = {
    "next": {"EMBEDDING": "small", "CHUNK_SIZE": 300, "CHUNK_OVERLAP": 40},
    "turned": {"EMBEDDING": "turned"},
}


def project(**changes):
    """The settings of a project that knows three spaces."""
    return {**django_settings.PGKNOWBASE, "EMBEDDINGS": EMBEDDINGS, "SPACES": SPACES, **changes}


@pytest.fixture(autouse=True)
def spaces(transactional_db):
    """An active space 'default' of 256 dimensions, and settings that know of more."""
    OutboxEvent.objects.all().delete()
    with override_settings(PGKNOWBASE=project()):
        rebuild_space("default")
        yield
    for space in EmbeddingSpace.objects.filter(is_active=False):
        gateway.fetch("default", "space_drop", space=space.pk)
    EmbeddingSpace.objects.update(name="default")
    rebuild_space("default")


def run(name, *arguments, **options):
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, verbosity=0, **options)
    return out.getvalue()


def space_command(*arguments, **options):
    return run("pgknowbase_space", *arguments, **options)


def space(name="default"):
    return EmbeddingSpace.objects.get(name=name)


def sql(statement, params=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def stored(name):
    """The chunks of a space by document."""
    found = {}
    one = space(name)
    for source, key, seq, text in sql(
        f'SELECT source, id, chunk_seq, chunk FROM "{one.store_schema}"."{one.store_table}" ORDER BY 1, 2, 3'
    ):
        found.setdefault((source, key), []).append((seq, text))
    return found


def assert_space_in_sync(name):
    """The chunks of a space, active or not, are exactly those of the documents."""
    cut = splitter_of(gateway.fetch_value("default", "vectorizer_configuration", vectorizer=space(name).vectorizer_id))
    documents = Document.objects.all()
    wanted = {
        (one.source, one.id): list(enumerate(cut.split(one.source, one.id, one.title, one.content)))
        for one in documents
    }
    assert stored(name) == wanted


@contextmanager
def in_thread(work):
    """``work(ended)`` on a thread and connection of its own; what it raises is raised here."""
    ended, failures = threading.Event(), []

    def guarded():
        try:
            work(ended)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield failures
    finally:
        ended.set()
        thread.join()
    assert not failures, failures


@contextmanager
def worker_running():
    worker = Worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()


def work():
    return Worker().run_until_idle()
