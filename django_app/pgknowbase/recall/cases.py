"""What is measured: queries near stored chunks, and filters by values that objects really have."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Vector
from pgknowbase.recall.setting import RecallError
from pgknowbase.search.hits import query_vector
from pgknowbase.sql_files import read_sql

ALL = "(all)"
MOVED_BY = 0.2  # length of the noise, where a vector has 1
NEAR_ENOUGH = 3.0  # a filter may let that many times more or fewer objects pass than was asked for


@dataclass(frozen=True, slots=True)
class Case:
    """Searches among the objects of one model, or of all, that pass one filter."""

    model: str
    sources: tuple[int, ...] | None
    passing: int
    objects: int
    metadata: str | None = None
    tags: tuple[str, ...] | None = None

    @property
    def selectivity(self) -> float:
        """The share of the objects that pass."""
        return self.passing / self.objects

    @property
    def filter(self) -> str:
        """The filter in words, '' for none."""
        if self.metadata is not None:
            return f"metadata {self.metadata}"
        return f"tags {json.dumps(self.tags, ensure_ascii=False)}" if self.tags else ""

    @property
    def params(self) -> tuple[list[int] | None, str | None, list[str] | None]:
        """Sources, metadata and tags as the SQL functions take them."""
        sources, tags = self.sources, self.tags
        return list(sources) if sources is not None else None, self.metadata, list(tags) if tags is not None else None


def cases(
    using: str, model: str, sources: tuple[int, ...] | None, shares: Sequence[float]
) -> tuple[list[Case], list[float]]:
    """The cases of one model, widest first, and the shares for which no real value gives a filter."""
    found: dict[int, Case] = {}
    without: list[float] = []
    listed = list(sources) if sources is not None else None
    for row in gateway.fetch_dicts(using, read_sql("11_recall/filters.sql"), listed, list(shares)):
        wanted, passing, objects = row["wanted"], row["passing"], row["objects"]
        if not objects:
            continue
        if wanted >= 1:
            found[objects] = Case(model, sources, objects, objects)
        elif passing and 1 / NEAR_ENOUGH <= passing / objects / wanted <= NEAR_ENOUGH:
            tags = tuple(row["tags"]) if row["tags"] else None
            found.setdefault(passing, Case(model, sources, passing, objects, row["metadata"], tags))
        else:
            without.append(wanted)
    return list(found.values()), without


def sampled(using: str, sources: Sequence[int] | None, count: int, seed: int) -> list[Vector]:
    """Vectors of stored chunks, each moved a little: a search text is near a chunk, and not the same."""
    listed = list(sources) if sources is not None else None
    rows = gateway.fetch(using, read_sql("11_recall/sample.sql"), listed, seed, count)
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    return [_moved(json.loads(text), draw) for (text,) in rows]


def embedded(texts: Sequence[str]) -> list[Vector]:
    """The vectors of search texts, as a search makes them.

    Raises:
        RecallError: there is no text.
    """
    wanted = [text.strip() for text in texts if text.strip()]
    if not wanted:
        raise RecallError("The file of queries holds no text: write one query in each line.")
    embedder = get_embedder(get_settings().space.embedding)
    return [query_vector(embedder, text) for text in wanted]


def _moved(vector: list[float], draw: random.Random) -> Vector:
    noise = [draw.gauss(0, 1) for _ in vector]
    scale = MOVED_BY * math.hypot(*vector) / math.hypot(*noise)
    return [value + scale * by for value, by in zip(vector, noise, strict=True)]
