import pytest

from pgknowbase.models import Chunk, Document, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from tests.fakes import RecordingEmbedder
from tests.unit.embeddings import conftest as embeddings

http = embeddings.provider
cache_dir = embeddings.cache_dir


@pytest.fixture
def provider(transactional_db):
    OutboxEvent.objects.all().delete()
    return RecordingEmbedder()


@pytest.fixture
def executor(provider):
    return make_executor(provider)


def make_executor(provider):
    made = Executor()
    made.embedder = provider
    return made


@pytest.fixture
def index(executor):
    """Relay and execute once; the executor's figures."""

    def run():
        while not Relay().run_once().idle:
            pass
        return executor.run_once()

    return run


@pytest.fixture
def assert_complete(executor):
    """The chunks in the store are exactly those of the documents."""

    def check():
        wanted = {
            (document.source, document.id): executor.splitter.split(
                document.source, document.id, document.title, document.content
            )
            for document in Document.objects.all()
        }
        stored = {}
        for chunk in Chunk.objects.order_by("source", "object_key", "position"):
            stored.setdefault((chunk.source, chunk.object_key), []).append((chunk.position, chunk.text))
        assert stored == {key: list(enumerate(texts)) for key, texts in wanted.items()}

    return check
