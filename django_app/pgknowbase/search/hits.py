"""Calling the SQL similarity functions."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.db import DatabaseError

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.errors import NotIndexedError, SearchError, SpaceMismatchError


@dataclass(frozen=True, slots=True)
class Hit:
    """One object found: its key, its best chunk and the cosine similarity of that chunk, in [-1, 1]."""

    source: int
    object_key: str
    external_data_id: int
    chunk_seq: int
    chunk: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Filters:
    """What a hit must satisfy inside the database; see ``pgknowbase_search_dense_v1``."""

    sources: Sequence[int] | None = None
    threshold: float | None = None
    viewer: str | None = None
    metadata: dict[str, Any] | None = None
    tags: Sequence[str] | None = None
    object_keys: Sequence[str] | None = None
    external_data_ids: Sequence[int] | None = None

    def params(self) -> list[Any]:
        """The parameters in the order in which the SQL functions take them."""
        return [
            list(self.sources) if self.sources is not None else None,
            self.threshold,
            self.viewer,
            json.dumps(self.metadata) if self.metadata is not None else None,
            list(self.tags) if self.tags is not None else None,
            list(self.object_keys) if self.object_keys is not None else None,
            list(self.external_data_ids) if self.external_data_ids is not None else None,
        ]


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A search by words."""

    text: str

    def hits(self, using: str, limit: int, filters: Filters) -> list[Hit]:
        """The ``limit`` nearest objects that satisfy ``filters``, best first."""
        from pgknowbase.vectorizer.serving import in_serving_space

        below = get_settings().search.exact_below

        def search(space: int, embedding: str) -> list[gateway.Row]:
            embedder = get_embedder(embedding)
            vector = literal(query_vector(embedder, self.text))
            return gateway.fetch(
                using, gateway.SEARCH_DENSE, space, vector, limit, *filters.params(), below, embedder.model
            )

        with _explained():
            return [Hit(*row) for row in in_serving_space(using, search)]


@dataclass(frozen=True, slots=True)
class LikeQuery:
    """A search by another object's chunks; the object itself is left out."""

    source: int
    object_key: str = field(kw_only=True)

    def hits(self, using: str, limit: int, filters: Filters) -> list[Hit]:
        """The ``limit`` nearest objects that satisfy ``filters``, best first."""
        below = get_settings().search.exact_below
        with _explained():
            rows = gateway.fetch(using, gateway.SIMILAR, self.source, self.object_key, limit, *filters.params(), below)
            if not rows and not gateway.fetch_value(using, gateway.HAS_CHUNKS, self.source, self.object_key):
                raise NotIndexedError(
                    f"The object {self.object_key!r} has no chunks yet: sync it and let the worker run before asking"
                    " for what is like it."
                )
        return [Hit(*row) for row in rows]


Query = TextQuery | LikeQuery


def text_query(text: str) -> TextQuery:
    """A checked search text.

    Raises:
        SearchError: it is no text, empty, too long, or holds what Postgres cannot store.
    """
    if not isinstance(text, str):
        raise SearchError(f"{text!r} is no search text: pass a str.")
    longest = get_settings().search.max_query_characters
    if not text.strip():
        raise SearchError(f"The search text {text!r} is empty: pass some words.")
    if len(text) > longest:
        raise SearchError(f"The search text {text[:40]!r}... has {len(text)} characters: pass at most {longest}.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise SearchError(f"The search text {text[:40]!r} holds a NUL or a lone surrogate: remove it.")
    return TextQuery(text)


def checked_limit(limit: int) -> int:
    """``limit`` if it is a whole number from 1 to the settings' MAX_LIMIT.

    Raises:
        SearchError: it is not.
    """
    largest = get_settings().search.max_limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= largest:
        raise SearchError(f"limit {limit!r} is out of range: pass a whole number from 1 to {largest}.")
    return limit


def checked_threshold(threshold: float | None) -> float | None:
    """``threshold`` if it is None or a number in [-1, 1].

    Raises:
        SearchError: it is not.
    """
    if threshold is None:
        return None
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not -1 <= threshold <= 1:
        raise SearchError(f"threshold {threshold!r} is out of range: pass a number from -1 to 1, or None.")
    return float(threshold)


def query_vector(embedder: Embedder, text: str) -> Vector:
    """The vector of a search text; the latest QUERY_CACHE_SIZE are kept."""
    return _query_vectors(get_settings().search.query_cache_size)(embedder, text)


@lru_cache(maxsize=1)
def _query_vectors(size: int) -> "Callable[[Embedder, str], Vector]":
    return lru_cache(maxsize=size)(lambda embedder, text: embedder.embed_query(text))


def literal(vector: Vector) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(str, map(float, vector)))}]"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state == "PK001":
            raise SpaceMismatchError(
                f"{str(error).splitlines()[0]}: run 'manage.py pgknowbase_space list' to see what differs."
            ) from error
        if state == "42P01" and "pgknowbase_chunk" in str(error):
            raise SearchError("No embedding space is active: run 'manage.py migrate'.") from error
        if state == "22000" and "dimensions" in str(error):
            raise SpaceMismatchError(
                f"The query has other dimensions than the active space ({str(error).splitlines()[0]}): run"
                " 'manage.py pgknowbase_space list' to see what differs."
            ) from error
        raise
