"""``manage.py pgknowbase_embed``: try an embedding backend."""

import json
import math
import time
from typing import Any

from django.core.management.base import CommandParser

from pgknowbase.embeddings import Embedder, get_embedder
from pgknowbase.management.base import KnowbaseCommand

_SHOWN = 6


class Command(KnowbaseCommand):
    """Embeds one text and shows what came back."""

    help = "Embed a text with a backend of PGKNOWBASE['EMBEDDINGS'] and show the vector, its norm and the time."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The text and how to embed it."""
        parser.add_argument("text", help="what to embed")
        parser.add_argument("--embedding", metavar="ALIAS", help="entry of EMBEDDINGS; default: that of SPACE")
        parser.add_argument("--document", action="store_true", help="embed as a document instead of a query")
        parser.add_argument("--format", choices=("table", "json"), default="table", help="json has all numbers")

    def handle(self, *, text: str, embedding: str | None, document: bool, format: str, **options: Any) -> None:
        """Raises CommandError for every mistake of the caller or the settings."""
        result = _measure(get_embedder(embedding), text, document=document)
        if format == "json":
            self.stdout.write(json.dumps(result))
            return
        numbers = ", ".join(f"{value:.4f}" for value in result.pop("vector")[:_SHOWN])
        for name, value in result.items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            self.stdout.write(f"{name:<14}{shown}")
        self.stdout.write(f"{'vector':<14}{numbers}, ...")


def _measure(embedder: Embedder, text: str, *, document: bool) -> dict[str, Any]:
    tokens = None
    started = time.perf_counter()
    if document:
        embeddings = embedder.embed_documents([text])
        vector = embeddings.vectors[0]
        tokens = embeddings.tokens[0] if embeddings.tokens else None
    else:
        vector = embedder.embed_query(text)
    return {
        "model": embedder.model,
        "dimensions": len(vector),
        "kind": "document" if document else "query",
        "tokens": tokens,
        "norm": math.hypot(*vector),
        "milliseconds": (time.perf_counter() - started) * 1000,
        "vector": list(vector),
    }
