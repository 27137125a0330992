"""An embedder whose every call is recorded and whose faults are told to it."""

import hashlib
from collections.abc import Callable, Sequence

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector
from pgknowbase.vectorizer.model_check import PROBE


class RecordingEmbedder(Embedder):
    """Vectors made of the text's hash. ``before`` is called with the texts of each call and may raise.

    The question for the model itself, which an executor asks at its start, is not among the calls.
    """

    model = "wordllama-256"
    dimensions = 256
    limits = BatchLimits(max_texts=64, max_characters=100_000)

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.before: Callable[[Sequence[str]], None] = lambda texts: None
        self.vector: Callable[[str], Vector] = hashed

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        if list(texts) == [PROBE]:
            return Embeddings([hashed(PROBE)])
        self.calls.append(list(texts))
        self.before(texts)
        return Embeddings([self.vector(text) for text in texts], [len(text.split()) for text in texts])

    def embed_query(self, text: str) -> Vector:
        return self.vector(text)


def hashed(text: str) -> Vector:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte - 127.5 for byte in digest * 8]
