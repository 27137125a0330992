"""The interface between pgknowbase and whatever turns text into vectors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Vector: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one call of ``embed_documents`` may carry: texts, and characters over all of them."""

    max_texts: int
    max_characters: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """``vectors``: n vectors of ``Embedder.dimensions`` floats, in the order of the n texts.

    ``tokens``: the n token counts where the backend knows them, else None.
    """

    vectors: Sequence[Vector]
    tokens: Sequence[int] | None = None


class Embedder(ABC):
    """One model, reached one way. Instances are safe to share between threads.

    Documents and queries have a method each, because some models treat them differently. Errors are
    ``RetryableEmbeddingError`` or ``PermanentEmbeddingError``, nothing else; a vector that is not finite, is
    zero or has another length than ``dimensions`` never leaves a backend. What the settings got wrong (no
    key, no weights) is a ``ConfigurationError``, when it is built or at its first use.
    """

    model: str
    dimensions: int
    limits: BatchLimits

    def verify(self) -> None:  # noqa: B027 - most backends need nothing beyond what their constructor sees
        """See that what a call needs from this machine, such as a key, is there. Touches no network.

        Raises:
            ConfigurationError: something is missing; the message says what to do.
        """

    @abstractmethod
    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Embed up to ``limits`` non-empty texts.

        Raises:
            RetryableEmbeddingError: the same call may succeed later.
            PermanentEmbeddingError: it never will; with several texts, at least one of them is at fault.
        """

    @abstractmethod
    def embed_query(self, text: str) -> Vector:
        """Embed one search text; the vector has ``dimensions`` floats. Raises as ``embed_documents``."""
