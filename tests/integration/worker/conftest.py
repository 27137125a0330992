import json

import pytest

from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.model_check import PROBE
from tests.unit.embeddings import conftest as embeddings

http = embeddings.provider

VECTOR = [1.0, 0.5] * 128


class Gate:
    """A provider that tells what it was asked, and answers when it is let; at once where only its model is checked."""

    def __init__(self, http):
        self.http = http
        self.open()

    @property
    def texts(self):
        return [text for body in self.http.bodies for text in body["input"] if text != PROBE]

    def open(self):
        self.http.vectors(lambda position, text: VECTOR)
        self.http.released.set()

    def shut(self):
        """Keep every call waiting until ``open``."""
        self.http.released.clear()
        answer = self.http.answer

        def wait(body):
            if body["input"] != [PROBE]:
                self.http.released.wait(60)
            return answer(body)

        self.http.answer = wait

    def fail(self, status):
        self.http.fixed(status, b"down")


@pytest.fixture
def gate(http):
    made = Gate(http)
    yield made
    made.open()


@pytest.fixture
def environment(http, gate):
    """What lets a process embed through ``gate``; keywords are settings of its worker."""

    def make(**worker):
        worker = {"RETRY": {"DELAY": 0.05, "MAX_DELAY": 0.3}, **worker}
        return {
            "OPENAI_BASE_URL": http.url,
            "OPENAI_API_KEY": "unused",
            "PGKNOWBASE_TEST_WORKER": json.dumps(worker),
        }

    return make


@pytest.fixture
def over_http(transactional_db):
    """The active space says that its vectors come over HTTP."""
    spaces = EmbeddingSpace.objects.filter(is_active=True)
    (before,) = spaces.values_list("backend", flat=True)
    spaces.update(backend="pgknowbase.embeddings.openai.OpenAIEmbedder")
    yield
    spaces.update(backend=before)
