"""Embedding many texts at once: batches within the provider's limits, side by side, each text's fate its own."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field

from pgknowbase.embeddings.base import BatchLimits, Embedder, Vector
from pgknowbase.errors import EmbeddingError, PermanentEmbeddingError, RetryableEmbeddingError

logger = logging.getLogger("pgknowbase.vectorizer")


@dataclass
class Outcome:
    """What became of the texts: a vector and a token count each, or the error that keeps it from one."""

    vectors: dict[str, tuple[Vector, int | None]] = field(default_factory=dict)
    errors: dict[str, EmbeddingError] = field(default_factory=dict)


def embed_texts(embedder: Embedder, texts: Iterable[str], pool: Pool | None = None) -> Outcome:
    """Embed each text once. One that the provider refuses is found by halving its batch; the others go through."""
    outcome = Outcome()
    groups = list(batches(dict.fromkeys(texts), embedder.limits))
    results = pool.map(lambda group: _embed(embedder, group), groups) if pool and len(groups) > 1 else None
    for part in results if results is not None else (_embed(embedder, group) for group in groups):
        outcome.vectors.update(part.vectors)
        outcome.errors.update(part.errors)
    return outcome


def batches(texts: Iterable[str], limits: BatchLimits) -> Iterator[list[str]]:
    """The texts, shortest first, in groups that one call may carry; a text over the limit goes alone."""
    group: list[str] = []
    characters = 0
    for text in sorted(texts, key=len):
        if group and (len(group) >= limits.max_texts or characters + len(text) > limits.max_characters):
            yield group
            group, characters = [], 0
        group.append(text)
        characters += len(text)
    if group:
        yield group


def _embed(embedder: Embedder, texts: Sequence[str]) -> Outcome:
    try:
        answer = embedder.embed_documents(texts)
        if len(answer.vectors) != len(texts):
            raise RetryableEmbeddingError(
                f"{embedder.model!r} returned {len(answer.vectors)} vectors for {len(texts)} texts: try again."
            )
        for vector in answer.vectors:
            check_vector(embedder, vector)
    except RetryableEmbeddingError as error:
        return Outcome(errors=dict.fromkeys(texts, error))
    except PermanentEmbeddingError as error:
        if len(texts) == 1:
            return Outcome(errors={texts[0]: error})
        logger.info("halving a batch of %d texts that was refused: %s", len(texts), error)
        middle = len(texts) // 2
        first, second = _embed(embedder, texts[:middle]), _embed(embedder, texts[middle:])
        return Outcome({**first.vectors, **second.vectors}, {**first.errors, **second.errors})
    counts: Sequence[int | None] = answer.tokens if answer.tokens is not None else [None] * len(texts)
    return Outcome(dict(zip(texts, zip(answer.vectors, counts, strict=True), strict=True)))


def check_vector(embedder: Embedder, vector: Vector) -> None:
    """Refuse what must never be stored; cosine with a zero vector is NaN, which sorts first.

    Raises:
        PermanentEmbeddingError: wrong length, not finite, or zero.
    """
    if len(vector) != embedder.dimensions:
        raise PermanentEmbeddingError(
            f"{embedder.model!r} returned {len(vector)} dimensions instead of {embedder.dimensions}: set DIMENSIONS."
        )
    norm = math.hypot(*vector)
    if not math.isfinite(norm) or norm == 0:
        raise PermanentEmbeddingError(
            f"{embedder.model!r} returned a vector of norm {norm!r}: leave such texts out of the document."
        )
