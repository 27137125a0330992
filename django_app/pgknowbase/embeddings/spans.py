"""Spans of calls to embedding models, by OpenTelemetry's conventions for generative AI."""

from typing import Any

from pgknowbase.core.telemetry import NoSpan, span
from pgknowbase.embeddings.base import Embedder


def embedding_span(embedder: Embedder, texts: int, *, parent: Any = None) -> NoSpan:
    """A span for one call with so many texts; ``parent`` as in ``span``."""
    return span(
        f"embeddings {embedder.model}",
        {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": embedder.model,
            # A model that runs in this process has no provider but us.
            "gen_ai.provider.name": embedder.provider or "pgknowbase",
            "gen_ai.embeddings.dimension.count": embedder.dimensions,
            "server.address": embedder.provider or None,
            "pgknowbase.embedding.texts": texts,
        },
        parent=parent,
    )
