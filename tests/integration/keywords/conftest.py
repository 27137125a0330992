import shutil
import tempfile
from pathlib import Path

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tests.projects.blog.models import Note


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def refresh():
    """Make all stale words anew, as the worker does."""
    while sql("SELECT pgknowbase_keywords_refresh_v1(100)")[0][0]:
        pass


def gather(at_least):
    """Put documents into blocks of postings, as the worker does; how many blocks were made."""
    return sum(1 for _ in iter(lambda: sql("SELECT pgknowbase_postings_gather_v1(%s)", at_least)[0][0], 0))


@pytest.fixture
def source(db):
    return ContentType.objects.get_for_model(Note).pk


@pytest.fixture
def put(source):
    """Write documents and what the index knows of them, as the relay does, and their words: {key: text}."""

    def run(texts, language="english", source=source, public=True, metadata="{}"):
        for key, text in texts.items():
            sql(
                "INSERT INTO pgknowbase_document (source, id, title, content, language) VALUES (%s, %s, '', %s, %s)",
                *(source, key, text, language),
            )
            sql(
                "INSERT INTO pgknowbase_externaldata (source_type, content_type_id, object_key, title, description,"
                " content_hash, metadata, tags, is_public, is_active, similarity_threshold, status, error, attempts,"
                " chunk_count) VALUES ('model', %s, %s, '', '', '', %s, '{}', %s, true, 0.5, 'completed', '', 0, 0)",
                *(source, key, metadata, public),
            )
        refresh()

    return run


@pytest.fixture
def place():
    """A directory that Postgres may pass through (``tmp_path`` is closed to all but root)."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)
