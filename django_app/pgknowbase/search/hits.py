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
from pgknowbase.search.explanation import AnyStep, HybridStep, Step, WordStep
from pgknowbase.search.metadata import shown, storable
from pgknowbase.search.options import Options, in_utc


@dataclass(frozen=True, slots=True)
class Hit:
    """One object found: its key and its best chunk, as the SQL search functions return them.

    ``span``: where the chunk stands in the document's content, in characters; None where it does not. ``similarity``:
    cosine, in [-1, 1]. ``keyword_score``: BM25. ``score``: what hits are ordered by. ``pending``: a version waits.
    Found in what waits alone, a hit has neither chunk nor score, and its ``keyword_score`` is a ts_rank.
    """

    source: int
    object_key: str
    external_data_id: int
    chunk_seq: int | None
    chunk: str | None
    span: Range[int] | None
    similarity: float | None
    keyword_score: float | None
    score: float | None
    pending: bool = False


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
            changed_from=in_utc(options.changed_from),
            changed_before=in_utc(options.changed_before),
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

    def rows(self, using: str, page: Page, filters: Filters, beside: str | None = None) -> list[gateway.Row]:
        """The best objects that satisfy ``filters``, best first: the columns of ``Hit``, then those of ``beside``."""

    def noted(self, using: str, *, asked: int, found: int) -> AnyStep:
        """How the hits of this transaction's last ``Page`` with ``note_plan`` were found."""


def hits(query: Query, using: str, page: Page, filters: Filters) -> list[Hit]:
    """The best objects that satisfy ``filters``, best first."""
    return [Hit(*row) for row in query.rows(using, page, filters)]


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A search by words."""

    text: str

    def rows(self, using: str, page: Page, filters: Filters, beside: str | None = None) -> list[gateway.Row]:
        """The objects nearest to the text."""
        below = get_settings().search.exact_below

        def search(space: int, embedder: Embedder, vector: str) -> list[gateway.Row]:
            last = (page.skip, below, embedder.model, page.note_plan)
            params = (space, vector, page.limit, *filters.params(), *last)
            return gateway.fetch_hits(using, gateway.SEARCH_DENSE, *params, beside=beside)

        return _embedded(using, self.text, search)

    def noted(self, using: str, *, asked: int, found: int) -> Step:
        """Which plan, and why."""
        return Step.of(gateway.fetch_value(using, gateway.SEARCH_PLAN), asked=asked, found=found)


@dataclass(frozen=True, slots=True)
class KeywordQuery:
    """A search for words, by BM25."""

    text: str

    def rows(self, using: str, page: Page, filters: Filters, beside: str | None = None) -> list[gateway.Row]:
        """The objects that share words with the text."""
        search = get_settings().search
        last = (page.skip, search.bm25_k1, search.bm25_b, page.note_plan)
        with explained():
            params = (self.text, page.limit, *filters.params(), *last)
            return gateway.fetch_hits(using, gateway.SEARCH_KEYWORD, *params, beside=beside)

    def noted(self, using: str, *, asked: int, found: int) -> WordStep:
        """Which documents were scored, and why."""
        return WordStep.of(gateway.fetch_value(using, gateway.KEYWORD_PLAN), asked=asked, found=found)


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """A search for meaning and words. ``dense_weight``: what meaning weighs, in [0, 1]; None: as fitted."""

    text: str
    dense_weight: float | None = field(kw_only=True)

    def rows(self, using: str, page: Page, filters: Filters, beside: str | None = None) -> list[gateway.Row]:
        """The objects nearest to the text by both."""
        chosen = get_settings().search

        def search(space: int, embedder: Embedder, vector: str) -> list[gateway.Row]:
            bm25 = (chosen.bm25_k1, chosen.bm25_b, page.note_plan)
            last = (page.skip, self.dense_weight, chosen.exact_below, embedder.model, *bm25)
            first = (space, self.text, vector, page.limit)
            params = (*first, *filters.params(), *last)
            return gateway.fetch_hits(using, gateway.SEARCH_HYBRID, *params, beside=beside)

        return _embedded(using, self.text, search)

    def noted(self, using: str, *, asked: int, found: int) -> HybridStep:
        """Both legs, and what each weighs."""
        plans = (gateway.HYBRID_PLAN, gateway.SEARCH_PLAN, gateway.KEYWORD_PLAN)
        fused, near, worded = (gateway.fetch_value(using, plan) for plan in plans)
        return HybridStep.of(fused, near, worded, asked=asked, found=found)


@dataclass(frozen=True, slots=True)
class LikeQuery:
    """A search by another object's chunks; the object itself is left out."""

    source: int
    object_key: str = field(kw_only=True)

    def rows(self, using: str, page: Page, filters: Filters, beside: str | None = None) -> list[gateway.Row]:
        """The objects nearest to the mean of the chunks; none if the viewer may not see the object."""
        itself = (self.source, self.object_key)
        last = (page.skip, get_settings().search.exact_below, page.note_plan)
        with explained():
            params = (*itself, page.limit, *filters.params(), *last)
            rows = gateway.fetch_hits(using, gateway.SIMILAR, *params, beside=beside)
            if not rows and not gateway.fetch_value(using, gateway.HAS_CHUNKS, *itself):
                raise NotIndexedError(
                    f"The object {self.object_key!r} has no chunks yet: sync it and let the worker run before asking"
                    " for what is like it."
                )
        return rows

    def noted(self, using: str, *, asked: int, found: int) -> Step:
        """Which plan, and why."""
        return Step.of(gateway.fetch_value(using, gateway.SEARCH_PLAN), asked=asked, found=found)


def _embedded(using: str, text: str, search: "Callable[[int, Embedder, str], list[gateway.Row]]") -> list[gateway.Row]:
    """The rows of a search with the text's vector in the space that serves."""
    from pgknowbase.vectorizer.serving import in_serving_space

    def run(space: int, embedding: str) -> list[gateway.Row]:
        embedder = get_embedder(embedding)
        return search(space, embedder, query_literal(embedder, text))

    with explained():
        return in_serving_space(using, run)


def checked_text(text: str) -> str:
    """A search text that can be searched for.

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
    return text


def checked_weight(weight: float | None) -> float | None:
    """``weight``, or that of the settings.

    Raises:
        SearchError: it is no number from 0 to 1.
    """
    if weight is None:
        return get_settings().search.dense_weight
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= 1:
        raise SearchError(f"dense_weight {shown(weight)} is out of range: pass a number from 0 to 1, or None.")
    return float(weight)


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
