"""Vectors of search texts, cached per process, and vectors as pgvector reads them."""

import time
from functools import lru_cache

from pgknowbase.costs.calls import Call
from pgknowbase.costs.ledger import query_usage
from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.embeddings.spans import embedding_span
from pgknowbase.errors import EmbeddingError

# The next page, a retry and a chat turn ask for the same text within minutes, and embedding it takes most of a search's
# time. 1,024 texts outlast that. An entry takes about 50 bytes per dimension, so the cache stays below 60 MB with 1,024
# dimensions.
CACHED_QUERIES = 1024


def query_vector(embedder: Embedder, text: str) -> Vector:
    """The vector of a search text: ``embedder.dimensions`` floats. The latest ``CACHED_QUERIES`` are cached.

    Raises:
        EmbeddingError: as ``Embedder.embed_query``; a failure is not cached.
    """
    return _embedded(embedder, text)[0]


def query_literal(embedder: Embedder, text: str) -> str:
    """``query_vector`` as pgvector reads it, from the same cache."""
    return _embedded(embedder, text)[1]


def literal(vector: Vector) -> str:
    """A vector as pgvector reads it: ``literal([1, 0.5])`` is ``'[1.0,0.5]'``."""
    return f"[{','.join(map(str, map(float, vector)))}]"


@lru_cache(maxsize=CACHED_QUERIES)
def _embedded(embedder: Embedder, text: str) -> tuple[Vector, str]:
    # Formatting a vector takes as long as a short search, so the text is cached beside it.
    with embedding_span(embedder, 1) as told:
        began = time.monotonic()
        try:
            answer = embedder.embed_query_with_usage(text)
        except EmbeddingError as error:
            seconds = time.monotonic() - began
            query_usage.add(embedder, Call([text], total_tokens=error.billed_tokens, failed=True, seconds=seconds))
            raise
        call = Call([text], answer.tokens, answer.total_tokens, seconds=time.monotonic() - began)
        query_usage.add(embedder, call)
        if told.is_recording:
            told.set({"gen_ai.usage.input_tokens": call.billed_tokens})
    return answer.vectors[0], literal(answer.vectors[0])
