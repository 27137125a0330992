"""An embedder without a model: texts are similar if they share words, or parts of words."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_texts

_WORD = re.compile(r"\w+")
_GRAM = 3
_GRAM_WEIGHT = 0.3
# Scripts that put no space between words: each character counts, and each pair.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class LexicalEmbedder(Embedder):
    """Hashed words and character n-grams of any script, of length 1. The same text has the same vector everywhere.

    Args:
        model: any name.
        dimensions: any number; with few, unrelated texts collide more often.
    """

    limits = BatchLimits(max_texts=1000, max_characters=1_000_000)

    def __init__(self, *, model: str = "lexical", dimensions: int = 256) -> None:
        self.model, self.dimensions = model, dimensions

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors, and the number of words as tokens. See ``Embedder``."""
        check_texts(texts, self.limits)
        return Embeddings([self._vector(text) for text in texts], [len(_WORD.findall(text)) for text in texts])

    def embed_query(self, text: str) -> Vector:
        """Queries and documents are embedded alike. See ``Embedder``."""
        check_texts([text], self.limits)
        return self._vector(text)

    def _vector(self, text: str) -> Vector:
        vector = [0.0] * self.dimensions
        for (feature, weight), count in Counter(_features(text)).items():
            place, sign = self._place(feature)
            vector[place] += sign * weight * math.sqrt(count)
        norm = math.hypot(*vector)
        if norm < 1e-6:  # signs alone, or features that cancel each other
            vector = [0.0] * self.dimensions
            vector[self._place(text)[0]] = norm = 1.0
        return [value / norm for value in vector]

    def _place(self, feature: str) -> tuple[int, float]:
        number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
        return (number >> 1) % self.dimensions, 1.0 if number & 1 else -1.0


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        for run in _UNSPACED.findall(word):
            yield from ((char, _GRAM_WEIGHT) for char in run)
            yield from ((run[n : n + 2], 1.0) for n in range(len(run) - 1))
        for part in _UNSPACED.split(word):
            if part:
                yield part, 1.0
                padded = f"<{part}>"
                yield from ((padded[n : n + _GRAM], _GRAM_WEIGHT) for n in range(len(padded) - _GRAM + 1))
