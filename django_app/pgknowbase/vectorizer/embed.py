"""Embedding many texts at once: batches within the provider's limits, side by side, each text's fate its own."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field
from functools import partial

from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.embeddings.validation import check_vectors, split_batches
from pgknowbase.errors import (
    EmbeddingError,
    EmbeddingSetupError,
    PermanentEmbeddingError,
    RetryableEmbeddingError,
)

logger = logging.getLogger("pgknowbase.vectorizer")


@dataclass
class Outcome:
    """What became of the texts: a vector and a token count each, or the error that keeps it from one."""

    vectors: dict[str, tuple[Vector, int | None]] = field(default_factory=dict)
    errors: dict[str, EmbeddingError] = field(default_factory=dict)


def concerns_text(error: EmbeddingError) -> bool:
    """Whether the text itself is at fault, rather than the provider's state or the settings."""
    return isinstance(error, PermanentEmbeddingError) and not isinstance(error, EmbeddingSetupError)


def embed_texts(embedder: Embedder, texts: Iterable[str], pool: Pool | None = None) -> Outcome:
    """Embed each text once. One that the provider refuses is found by halving its batch; the others go through."""
    outcome = Outcome()
    groups = list(split_batches(sorted(dict.fromkeys(texts), key=len), embedder.limits))
    spread = pool.map if pool is not None and len(groups) > 1 else map
    for part in spread(partial(_embed, embedder), groups):
        outcome.vectors.update(part.vectors)
        outcome.errors.update(part.errors)
    return outcome


def _embed(embedder: Embedder, texts: Sequence[str]) -> Outcome:
    try:
        answer = embedder.embed_documents(texts)
        if len(answer.vectors) != len(texts):
            raise RetryableEmbeddingError(
                f"{embedder.model!r} returned {len(answer.vectors)} vectors for {len(texts)} texts: try again."
            )
        check_vectors(answer.vectors, model=embedder.model, dimensions=embedder.dimensions)
    except EmbeddingError as error:
        if not concerns_text(error) or len(texts) == 1:
            return Outcome(errors=dict.fromkeys(texts, error))
        logger.info("halving a batch of %d texts that was refused: %s", len(texts), error)
        middle = len(texts) // 2
        first, second = _embed(embedder, texts[:middle]), _embed(embedder, texts[middle:])
        return Outcome({**first.vectors, **second.vectors}, {**first.errors, **second.errors})
    counts: Sequence[int | None] = answer.tokens if answer.tokens is not None else [None] * len(texts)
    return Outcome(dict(zip(texts, zip(answer.vectors, counts, strict=True), strict=True)))
