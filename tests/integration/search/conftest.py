import math
import re

import pytest
from django.db import connection

from pgknowbase.core import gateway
from pgknowbase.embeddings import serving
from pgknowbase.models import EmbeddingSpace, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from tests.fakes import RecordingEmbedder
from tests.vector_index import make_vector_index

QUERY = "near 1.0"


def nearness(text):
    """A text says how similar it is to QUERY: 'near 0.8' has a cosine of 0.8 with it."""
    cosine = float(re.search(r"near (-?[\d.]+)", text).group(1))
    return [cosine, math.sqrt(max(0.0, 1 - cosine * cosine)), *[0.0] * 254]


def store():
    """The table behind the active space, quoted."""
    space = EmbeddingSpace.objects.get(is_active=True)
    return f'"{space.store_schema}"."{space.store_table}"'


def make_words():
    """Make all stale words anew, as the worker does."""
    while gateway.fetch_value("default", "keywords_refresh", max_documents=1000):
        pass


@pytest.fixture
def provider(monkeypatch):
    embedder = RecordingEmbedder()
    embedder.vector = nearness
    monkeypatch.setattr(serving, "get_embedder", lambda alias=None: embedder)
    return embedder


@pytest.fixture
def vector_index(db):
    """The vector index, for tests that search along it. In new files: others' dead vectors would make it worse."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {store()}")
    make_vector_index()


@pytest.fixture
def index(db, provider):
    """Bring everything that was written into the index."""
    OutboxEvent.objects.all().delete()

    def run():
        relay, executor = Relay(), Executor()
        executor.embedder = provider
        while not relay.run_once().idle:
            pass
        while not executor.run_once().idle:
            pass
        make_words()

    return run
