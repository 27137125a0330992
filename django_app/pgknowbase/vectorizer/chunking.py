"""Chunking: cutting a document into chunks, and finding those whose embedding can stay."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from string import Template
from typing import Any

from pgknowbase.core.pgai import load_vectorizer, recursive_splitter
from pgknowbase.embeddings.base import Embedder

# Characters. A shorter chunk is not cut for its tokens: then it is the title around it that is too long.
SHORTEST_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Splitter:
    """Cuts documents into chunks and formats the text to embed for each, with pgai's own classes.

    So our executor and pgai's worker make the same chunks of a document, and may work on one vectorizer side by side:
    but for those that have more tokens than the model reads, which are cut again here.
    """

    _vectorizer: Any
    _embedder: Embedder | None = None

    def split(self, source: int, key: str, title: str, content: str) -> list[str]:
        """The texts to embed for one document, in order."""
        config = self._vectorizer.config
        row = {"source": source, "id": key, "title": title, "content": content}
        chunks = [content.strip()] if self._is_one_chunk(content) else config.chunking.into_chunks(row, content)
        return [text for chunk in chunks for text in self._texts(chunk, row)]

    def _texts(self, chunk: str, row: dict[str, Any]) -> list[str]:
        """The text to embed for a chunk; several, if it has more tokens than the model reads."""
        text = self._format(chunk, row)
        times = self._times_too_long(text)
        parts = self._cut(chunk, times) if times > 1 and len(chunk) > SHORTEST_CHUNK else []
        return [text] if len(parts) < 2 else [text for part in parts for text in self._texts(part, row)]

    def _format(self, chunk: str, row: dict[str, Any]) -> str:
        formatting = self._vectorizer.config.formatting
        if formatting.implementation != "python_template":
            return str(formatting.format(chunk, row))
        between, names = _parsed(formatting.template)
        values = row | {"chunk": chunk}
        return "".join([between[0], *(f"{values[name]}{text}" for name, text in zip(names, between[1:], strict=True))])

    def _times_too_long(self, text: str) -> float:
        """How many times as many tokens the text has as the model reads; 0 where nobody has to count."""
        most = self._embedder.max_tokens if self._embedder is not None else None
        # Some tokenizers take a Hangul syllable apart into three tokens, and nothing into more.
        if self._embedder is None or most is None or 3 * len(text) < most:
            return 0.0
        return self._embedder.count_tokens([text])[0] / most

    def _cut(self, chunk: str, times: float) -> list[str]:
        """A chunk cut into smaller ones: by the same separators, or, where the splitter is another, at spaces."""
        chunking = self._vectorizer.config.chunking
        size = max(SHORTEST_CHUNK // 2, int(0.9 * len(chunk) / times))
        overlap = min(getattr(chunking, "chunk_overlap", 0), size // 6)
        smaller = recursive_splitter(chunking, chunk_size=size, chunk_overlap=overlap)
        cut: list[str] = smaller.into_chunks({}, chunk)
        return cut

    def _is_one_chunk(self, content: str) -> bool:
        """Whether the recursive splitter, which is slow to find out, would return the text whole."""
        chunking = self._vectorizer.config.chunking
        return (
            chunking.implementation == "recursive_character_text_splitter"
            and len(content) < chunking.chunk_size
            and not content.isspace()
            and content != ""
        )


@cache
def _parsed(template: str) -> tuple[list[str], list[str]]:
    """The texts of a template between its placeholders, and their names. Python would parse it for every chunk."""
    names: list[str] = []

    class Names(dict[str, str]):
        def __missing__(self, name: str) -> str:
            names.append(name)
            return "\0"  # Postgres stores no template that has one

    return Template(template).substitute(Names()).split("\0"), names


def splitter_of(row: str, embedder: Embedder | None = None) -> Splitter:
    """The splitter of a vectorizer, from its row of ``ai.vectorizer`` as JSON text.

    With ``embedder`` no text has more tokens than its model reads.
    """
    return Splitter(load_vectorizer(row), embedder)


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """A chunk whose embedding stays: its place in the document before and after, and the md5 of its text."""

    old: int
    new: int
    digest: str


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """The chunks that stay, and the (place, text) pairs that must be embedded."""

    kept: Sequence[KeptChunk]
    missing: Sequence[tuple[int, str]]


def plan_chunks(wanted: Sequence[str], stored: Mapping[int, str]) -> ChunkPlan:
    """Match the texts that a document has now with its ``stored`` chunks, by place first and by text second.

    An insertion at the top of a document moves every chunk behind it; matched by text, none of them is embedded anew.

    >>> plan = plan_chunks(["new", "a", "b"], {0: "a", 1: "b"})
    >>> plan.missing
    [(0, 'new')]
    """
    kept: list[KeptChunk] = []
    missing: list[tuple[int, str]] = []
    free: dict[str, list[int]] = defaultdict(list)
    for seq, text in sorted(stored.items(), reverse=True):
        if seq >= len(wanted) or wanted[seq] != text:
            free[text].append(seq)
    for seq, text in enumerate(wanted):
        if stored.get(seq) == text:
            kept.append(KeptChunk(seq, seq, _digest(text)))
        elif free[text]:
            kept.append(KeptChunk(free[text].pop(), seq, _digest(text)))
        else:
            missing.append((seq, text))
    return ChunkPlan(kept, missing)


def document_digest(title: str, content: str) -> str:
    """The md5 by which ``pgknowbase_store_open_v1`` recognises a document's text.

    The title's own digest has a fixed length, so no other title and content make the same text.
    """
    return _digest(_digest(title) + _digest(content))


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
