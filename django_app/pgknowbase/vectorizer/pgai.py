"""The one door to the package ``pgai``: its catalog's installation and its configuration classes."""

import json
import os
from dataclasses import dataclass
from typing import Any


def _switch_tracing_off() -> None:
    """``import pgai`` starts ddtrace; keep it still unless the environment asks for it."""
    os.environ.setdefault("DD_TRACE_ENABLED", "false")
    os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
    os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")


def install(conninfo: str) -> None:
    """Install pgai's catalog (schema ``ai``) through a connection of its own; does nothing where it is there."""
    _switch_tracing_off()
    import pgai

    pgai.install(conninfo)


@dataclass(frozen=True, slots=True)
class Splitter:
    """How a vectorizer cuts a document into chunks and what text it embeds for each: pgai's own classes at work."""

    _vectorizer: Any

    def split(self, source: int, key: str, title: str, content: str) -> list[str]:
        """The texts to embed for one document, in order."""
        config = self._vectorizer.config
        row = {"source": source, "id": key, "title": title, "content": content}
        chunks = [content.strip()] if self._is_one_chunk(content) else config.chunking.into_chunks(row, content)
        return [config.formatting.format(chunk, row) for chunk in chunks]

    def _is_one_chunk(self, content: str) -> bool:
        """Whether the recursive splitter, which is slow to find out, would give back a text whole."""
        chunking = self._vectorizer.config.chunking
        return (
            chunking.implementation == "recursive_character_text_splitter"
            and not chunking.is_separator_regex
            and len(content) < chunking.chunk_size
            and not content.isspace()
            and content != ""
        )


def splitter(row: str) -> Splitter:
    """The splitter of a vectorizer, from its row in ``ai.vectorizer`` as JSON text."""
    _switch_tracing_off()
    from pgai.vectorizer import Vectorizer

    return Splitter(Vectorizer.model_validate(json.loads(row)))
