"""Calling the SQL similarity functions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from django.db import DatabaseError
from psycopg.types.range import Range

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.errors import NotIndexedError, SearchError, SpaceMismatchError
from pgknowbase.search.metadata import shown, storable
from pgknowbase.search.options import Options


@dataclass(frozen=True, slots=True)
class Hit:
    """One object found: its key and its best chunk, as the SQL search functions return them.

    ``span``: where the chunk stands in the document's content, in characters; None where it does not. ``similarity``:
    cosine, in [-1, 1]. ``score``: what hits are ordered by.
    """

    source: int
    object_key: str
    external_data_id: int
    chunk_seq: int
    chunk: str
    span: Range[int] | None
    similarity: float | None
    keyword_score: float | None
    score: float


@dataclass(frozen=True, slots=True)
class Filters:
    """What a hit must satisfy inside the database; see ``pgknowbase_search_dense_v1``."""

    sources: Sequence[int] | None = None
    threshold: float | None = None
    viewer: str | None = None
    metadata: str | None = None
    matching: str | None = None
    tags: Sequence[str] | None = None
    changed_from: datetime | None = None
    changed_before: datetime | None = None
    object_keys: Sequence[str] | None = None
    external_data_ids: Sequence[int] | None = None

    @classmethod
    def of(cls, options: Options, *, sources: Sequence[int] | None, viewer: str | None) -> "Filters":
        """The filters that ``options`` ask for."""
        return cls(
            sources=sources,
            threshold=None if options.threshold is None else float(options.threshold),
            viewer=viewer,
            metadata=options.conditions.contained,
            matching=options.conditions.matching,
            tags=None if options.tags is None else list(options.tags),
            changed_from=options.changed_from,
            changed_before=options.changed_before,
        )

    def params(self) -> list[Any]:
        """The parameters in the order in which the SQL functions take them."""
        return [
            self.sources,
            self.threshold,
            self.viewer,
            self.metadata,
            self.matching,
            self.tags,
            self.changed_from,
            self.changed_before,
            self.object_keys,
            self.external_data_ids,
        ]


@dataclass(frozen=True, slots=True)
class Page:
    """``limit`` hits after the first ``skip``. ``note_plan``: the database keeps what it did, for the transaction."""

    limit: int
    skip: int = 0
    note_plan: bool = False


class Query(Protocol):
    """One way to search: what ``Search`` needs of it."""

    def hits(self, using: str, page: Page, filters: Filters) -> list[Hit]:
        """The best objects that satisfy ``filters``, best first."""


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A search by words."""

    text: str

    def hits(self, using: str, page: Page, filters: Filters) -> list[Hit]:
        """The objects nearest to the text."""
        settings = get_settings()
        embedder = get_embedder(settings.space.embedding)
        vector = query_literal(embedder, self.text)
        below = settings.search.exact_below
        last = (page.skip, below, embedder.model, page.note_plan)
        with explained():
            rows = gateway.fetch(using, gateway.SEARCH_DENSE, vector, page.limit, *filters.params(), *last)
        return [Hit(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class LikeQuery:
    """A search by another object's chunks; the object itself is left out."""

    source: int
    object_key: str = field(kw_only=True)

    def hits(self, using: str, page: Page, filters: Filters) -> list[Hit]:
        """The objects nearest to the mean of the chunks; none if the viewer may not see the object."""
        itself = (self.source, self.object_key)
        last = (page.skip, get_settings().search.exact_below, page.note_plan)
        with explained():
            rows = gateway.fetch(using, gateway.SIMILAR, *itself, page.limit, *filters.params(), *last)
            if not rows and not gateway.fetch_value(using, gateway.HAS_CHUNKS, *itself):
                raise NotIndexedError(
                    f"The object {self.object_key!r} has no chunks yet: sync it and let the worker run before asking"
                    " for what is like it."
                )
        return [Hit(*row) for row in rows]


def text_query(text: str) -> TextQuery:
    """A checked search text.

    Raises:
        SearchError: it is no text, empty, too long, or holds what Postgres cannot store.
    """
    if not isinstance(text, str):
        raise SearchError(f"{shown(text)} is no search text: pass a str.")
    longest = get_settings().search.max_query_characters
    if not text.strip():
        raise SearchError(f"The search text {shown(text)} is empty: pass some words.")
    if len(text) > longest:
        raise SearchError(f"The search text {text[:40]!r}... has {len(text)} characters: pass at most {longest}.")
    if not storable(text):
        raise SearchError(f"The search text {text[:40]!r} holds a NUL or a lone surrogate: remove it.")
    return TextQuery(text)


def query_vector(embedder: Embedder, text: str) -> Vector:
    """The vector of a search text; the latest QUERY_CACHE_SIZE are kept."""
    return _query_vectors(get_settings().search.query_cache_size)(embedder, text)[0]


def query_literal(embedder: Embedder, text: str) -> str:
    """The vector of a search text as pgvector reads it, kept likewise."""
    return _query_vectors(get_settings().search.query_cache_size)(embedder, text)[1]


@lru_cache(maxsize=1)
def _query_vectors(size: int) -> "Callable[[Embedder, str], tuple[Vector, str]]":
    def embedded(embedder: Embedder, text: str) -> tuple[Vector, str]:
        vector = embedder.embed_query(text)
        return vector, literal(vector)

    return lru_cache(maxsize=size)(embedded)


def literal(vector: Vector) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(str, map(float, vector)))}]"


@contextmanager
def explained() -> Iterator[None]:
    """Turns what a search function refuses into an error that says what to do."""
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
