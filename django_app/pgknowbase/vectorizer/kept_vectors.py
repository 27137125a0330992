"""Vectors that were paid for already: those of chunk stores, and those that Postgres keeps for texts without a chunk.

A text is asked for once. Its vector stands in the store of its space as long as a chunk has the text; another document,
or another space of the same embedder, takes it from there. Two kinds have no chunk and are kept by themselves: vectors
of documents that need more calls than a provider allows in a minute, and those of a space that was dropped.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping
from hashlib import sha256

from pgknowbase.core import gateway
from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.embedding import Vectors

# How vector_send begins: the number of dimensions, and two bytes without a meaning.
_HEAD_BYTES = 4


class KeptVectors:
    """The vectors that one embedder has made, for the documents of one space.

    A key of a kept one is the sha256 of mode, fingerprint and text.

    Args:
        fingerprint: of the model, see ``ModelCheck.fingerprint``.
        max_vectors: kept at most, of all spaces together; the oldest go first.

    >>> kept = KeptVectors("default", embedder, space, fingerprint=embedder.fingerprint, max_vectors=100)
    >>> kept.keep({"some text": ([0.1, 0.2], 2)})
    >>> kept.find(["some text", "other"])
    {'some text': ([0.1, 0.2], 2)}
    """

    def __init__(
        self, using: str, embedder: Embedder, space: EmbeddingSpace, *, fingerprint: str, max_vectors: int
    ) -> None:
        self.using = using
        self.embedder = embedder
        self.space = space
        self.fingerprint = fingerprint
        self.max_vectors = max_vectors
        self._held: set[str] = set()

    def find(self, texts: Iterable[str]) -> Vectors:
        """Those of the texts that need no call. Of a space that holds vectors of several embedders nothing is taken."""
        wanted = list(texts)
        if not wanted:
            return {}
        found = self._find_kept(wanted)
        self._held |= found.keys()
        rest = [text for text in wanted if text not in found]
        rows = gateway.fetch_large(
            self.using,
            "stored_vectors_find",
            fingerprint=self.fingerprint,
            storage=self.space.storage,
            texts=rest,
        )
        return found | {text: (_received(vector), tokens) for text, vector, tokens in rows}

    def keep(self, vectors: Mapping[str, tuple[Vector, int | None]]) -> None:
        """Keep these until ``forget``, or until they are the oldest of more than ``max_vectors``."""
        gateway.fetch(
            self.using,
            "kept_vectors_add",
            model=self.embedder.model,
            keys=[self._key(text) for text in vectors],
            vectors=[_sent(vector) for vector, _ in vectors.values()],
            tokens=[tokens for _, tokens in vectors.values()],
            max_vectors=self.max_vectors,
        )
        self._held |= vectors.keys()

    def forget(self, texts: Iterable[str]) -> None:
        """Drop those of the texts, whose documents are written, as far as this instance has found or kept them."""
        if keys := [key for text in texts if text in self._held for key in self._keys(text)]:
            gateway.fetch(self.using, "kept_vectors_remove", keys=keys)

    def _find_kept(self, texts: Iterable[str]) -> Vectors:
        by_key = {key: text for text in texts for key in self._keys(text)}
        rows = gateway.fetch(self.using, "kept_vectors_find", keys=list(by_key))
        return {by_key[bytes(key)]: (_received(vector), tokens) for key, vector, tokens in rows}

    def _keys(self, text: str) -> list[bytes]:
        """A store of halfvecs takes what another one has rounded."""
        rounded = [self._key(text, "document halfvec")] if self.space.storage == "halfvec" else []
        return [self._key(text), *rounded]

    def _key(self, text: str, mode: str = "document") -> bytes:
        return sha256(f"{mode}\0{self.fingerprint}\0{text}".encode()).digest()


def _sent(vector: Vector) -> bytes:
    """A vector as vector_send writes it."""
    return len(vector).to_bytes(2, "big") + bytes(2) + _big_endian(array("f", vector)).tobytes()


def _received(content: bytes) -> Vector:
    return _big_endian(array("f", bytes(content)[_HEAD_BYTES:])).tolist()


def _big_endian(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
