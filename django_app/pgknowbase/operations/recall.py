"""Recall of the vector index: the share of the exact nearest chunks that an approximate search finds.

A measurement takes queries (vectors near stored chunks, or search texts), searches for each of them by the index and
exactly, and compares the similarities. It does so for search cases: all objects, and filters by metadata entries or
tags that objects really have, since a filter changes how far a search walks the index. The smallest ``hnsw.ef_search``
that reaches a target is found by bisection, and can be saved on the active space.
"""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, median

from django.db import transaction

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Vector
from pgknowbase.embeddings.query_vectors import literal, query_vector
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.specification import active_space

ALL_MODELS = "(all)"
# pgvector's default, below which little time is saved, and its upper bound.
MIN_EF_SEARCH, MAX_EF_SEARCH = 40, 1000
# Length of the noise that is added to a stored vector, relative to it: a search text is near a chunk, not equal to it.
NOISE = 0.2
# A filter may let that many times more or fewer objects pass than was asked for.
SELECTIVITY_TOLERANCE = 3.0
# Index and exact search may compute the same distance with different rounding.
EQUAL_SIMILARITY = 1e-9

Similarities = list[float]


class RecallError(PgKnowbaseError):
    """Recall cannot be measured, or the result cannot be saved."""


# Search cases


@dataclass(frozen=True, slots=True)
class SearchCase:
    """Searches among the objects of one model, or of all, that pass one filter.

    Args:
        content_types: ids of the models' content types; None: all models.
        passing: objects that pass the filter, out of ``objects``.
        metadata: a JSON object that the metadata must contain.
        tags: tags that an object must have.
    """

    model: str
    content_types: tuple[int, ...] | None
    passing: int
    objects: int
    metadata: str | None = None
    tags: tuple[str, ...] | None = None

    @property
    def selectivity(self) -> float:
        """The share of the objects that pass, from 0 to 1."""
        return self.passing / self.objects

    @property
    def filter(self) -> str:
        """The filter as text, '' for none."""
        if self.metadata is not None:
            return f"metadata {self.metadata}"
        return f"tags {json.dumps(self.tags, ensure_ascii=False)}" if self.tags else ""

    @property
    def params(self) -> tuple[list[int] | None, str | None, list[str] | None]:
        """Content types, metadata and tags as the SQL functions take them."""
        return _listed(self.content_types), self.metadata, list(self.tags) if self.tags is not None else None


def search_cases(
    using: str, model: str, content_types: tuple[int, ...] | None, shares: Sequence[float]
) -> tuple[list[SearchCase], list[float]]:
    """The cases of one model, and the shares for which no metadata entry or tag makes a filter.

    Args:
        shares: wanted selectivities, from above 0 to 1.
    """
    cases: dict[int, SearchCase] = {}
    missing: list[float] = []
    for row in gateway.fetch_dicts(using, "recall_filters", sources=_listed(content_types), shares=list(shares)):
        wanted, passing, objects = row["wanted"], row["passing"], row["objects"]
        if not objects:
            continue
        if wanted >= 1:
            cases[objects] = SearchCase(model, content_types, objects, objects)
        elif passing and 1 / SELECTIVITY_TOLERANCE <= passing / objects / wanted <= SELECTIVITY_TOLERANCE:
            tags = tuple(row["tags"]) if row["tags"] else None
            cases.setdefault(passing, SearchCase(model, content_types, passing, objects, row["metadata"], tags))
        else:
            missing.append(wanted)
    return list(cases.values()), missing


def _listed(content_types: Sequence[int] | None) -> list[int] | None:
    return None if content_types is None else list(content_types)


# Queries


def sample_queries(using: str, content_types: Sequence[int] | None, count: int, seed: int) -> list[Vector]:
    """At most ``count`` vectors near stored chunks; the same ones for the same ``seed``."""
    rows = gateway.fetch(using, "recall_sample", sources=_listed(content_types), seed=seed, limit=count)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    return [_with_noise(json.loads(text), rng) for (text,) in rows]


def _with_noise(vector: list[float], rng: random.Random) -> Vector:
    noise = [rng.gauss(0, 1) for _ in vector]
    scale = NOISE * math.hypot(*vector) / math.hypot(*noise)
    return [value + scale * by for value, by in zip(vector, noise, strict=True)]


def embed_queries(texts: Sequence[str]) -> list[Vector]:
    """The vectors of search texts, as a search computes them.

    Raises:
        RecallError: there is no text.
        EmbeddingError: a text cannot be embedded.
    """
    wanted = [text.strip() for text in texts if text.strip()]
    if not wanted:
        raise RecallError("The file of queries holds no text: write one query per line.")
    embedder = get_embedder(get_settings().space.embedding)
    return [query_vector(embedder, text) for text in wanted]


# Measurement


@dataclass(frozen=True, slots=True)
class Measurement:
    """Mean recall in [0, 1] and median milliseconds of a search, at one ``ef_search``."""

    ef_search: int
    recall: float
    milliseconds: float


@dataclass
class RecallBenchmark:
    """One search case with its queries. The exact searches, and each ``ef_search``, are measured once.

    Args:
        limit: hits of each query.
        exact_search_max_chunks: as the setting of that name; 0 measures the index in a small store too.
    """

    using: str
    case: SearchCase
    queries: Sequence[Vector]
    limit: int
    exact_search_max_chunks: int
    _measured: dict[int, Measurement] = field(default_factory=dict)

    @cached_property
    def exact(self) -> tuple[list[Similarities], float]:
        """The similarities that an exact search finds for each query, best first, and its median milliseconds."""
        return self._timed("similarities_exact")

    def measure(self, ef_search: int) -> Measurement:
        """Search for all queries with ``ef_search``."""
        if ef_search not in self._measured:
            with transaction.atomic(using=self.using):
                gateway.fetch(self.using, "set_ef_search", ef_search=str(ef_search))
                found, milliseconds = self._timed("similarities", exact_search_max_chunks=self.exact_search_max_chunks)
                # It lasts to the end of the outermost transaction, which may be the caller's.
                gateway.fetch(self.using, "set_ef_search", ef_search="")
            shares = [recall(mine, best) for mine, best in zip(found, self.exact[0], strict=True) if best]
            self._measured[ef_search] = Measurement(ef_search, fmean(shares) if shares else 1.0, milliseconds)
        return self._measured[ef_search]

    def smallest_reaching(self, target: float) -> Measurement | None:
        """The smallest ``ef_search`` whose recall is at least ``target``, or None."""
        smallest = smallest_reaching(lambda ef_search: self.measure(ef_search).recall, target)
        return None if smallest is None else self.measure(smallest)

    def _timed(self, query: str, **more: int) -> tuple[list[Similarities], float]:
        sources, metadata, tags = self.case.params
        found, times = [], []
        for number, vector in enumerate([self.queries[0], *self.queries]):
            started = time.perf_counter()
            rows = gateway.fetch(
                self.using,
                query,
                vector=literal(vector),
                limit=self.limit,
                sources=sources,
                metadata=metadata,
                tags=tags,
                **more,
            )
            if number:  # the first search only loads the index into memory
                times.append(1000 * (time.perf_counter() - started))
                found.append([similarity for (similarity,) in rows])
        return found, median(times)


def recall(found: Similarities, best: Similarities) -> float:
    """The share of the exact hits that were found. A hit as similar as the last exact one counts as one of them."""
    return min(1.0, sum(similarity >= best[-1] - EQUAL_SIMILARITY for similarity in found) / len(best))


def smallest_reaching(measure: Callable[[int], float], target: float) -> int | None:
    """By bisection, the smallest ``ef_search`` whose measure reaches ``target``; None if the largest does not."""
    low, high = MIN_EF_SEARCH, MAX_EF_SEARCH
    if measure(high) < target:
        return None
    while low < high:
        middle = (low + high) // 2
        if measure(middle) >= target:
            high = middle
        else:
            low = middle + 1
    return low


# Parameters of the active space


def active_space_or_raise(using: str) -> EmbeddingSpace:
    """The active space.

    Raises:
        RecallError: there is none.
    """
    space = active_space(using)
    if space is None:
        raise RecallError(f"Database {using!r} has no active embedding space: run {command_line('migrate', using)!r}.")
    return space


def dense_search_settings(using: str) -> dict[str, str]:
    """The Postgres settings that the function of the dense search sets for itself, by name."""
    settings = gateway.fetch_value(using, "recall_search_settings")
    return dict(each.split("=", 1) for each in settings or ())


def current_ef_search(using: str, *, limit: int = 10, filtered: bool = False) -> int:
    """The ``hnsw.ef_search`` of a search for ``limit`` hits, with filters other than models or without."""
    space = active_space(using)
    tuned, index = (space.ef_search, space.index) if space else (None, "halfvec")
    used: int = gateway.fetch_value(using, "ef_search_used", limit=limit, filtered=filtered, tuned=tuned, index=index)
    return used


def save_ef_search(using: str, ef_search: int) -> EmbeddingSpace:
    """Let every search of the active space use ``ef_search``, from its next one on.

    Raises:
        RecallError: there is no active space, or its store is so small that searches do not use the index.
    """
    space = active_space_or_raise(using)
    size = gateway.fetch_value(using, "store_bytes", schema=space.store_schema, table=space.store_table)
    if size <= get_settings().search.exact_search_max_chunks * space.chunk_bytes:
        raise RecallError(
            f"The space {space.name!r} is so small that searches compare every chunk (EXACT_SEARCH_MAX_CHUNKS), so"
            " there is nothing to save: measure again when it has grown."
        )
    EmbeddingSpace.objects.using(using).filter(pk=space.pk).update(ef_search=ef_search)
    space.ef_search = ef_search
    return space
