"""``manage.py pgknowbase_embeddings test``: try an embedding backend."""

import json
import math
import time
from typing import Any

from django.core.management.base import CommandParser

from pgknowbase.core.commands import ActionCommand, add_format
from pgknowbase.embeddings import Embedder, get_embedder

SHOWN_COMPONENTS = 6


class Command(ActionCommand):
    help = "Try the embedding backends of PGKNOWBASE['EMBEDDINGS']. Needs no database."
    # A wrong backend would be refused by its own check before this command could show what is wrong.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        self.actions = parser.add_subparsers(metavar="ACTION", required=True)
        test = self.add_action("test", self.handle_test, "Embed a text and show the vector, its norm and the time.")
        test.add_argument("text", help="text to embed")
        test.add_argument("--embedding", metavar="ALIAS", help="alias in EMBEDDINGS, instead of the one of SPACE")
        test.add_argument("--document", action="store_true", help="embed as a document instead of a query")
        add_format(test)

    def handle_test(self, *, text: str, embedding: str | None, document: bool, format: str, **options: Any) -> None:
        """Embed ``text``. The table shows the first components of the vector, JSON all of them."""
        result = _embed(get_embedder(embedding), text, document=document)
        if format == "json":
            self.stdout.write(json.dumps(result))
            return
        components = ", ".join(f"{value:.4f}" for value in result.pop("vector")[:SHOWN_COMPONENTS])
        for name, value in result.items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            self.stdout.write(f"{name:<14}{shown}")
        self.stdout.write(f"{'vector':<14}{components}, ...")


def _embed(embedder: Embedder, text: str, *, document: bool) -> dict[str, Any]:
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
