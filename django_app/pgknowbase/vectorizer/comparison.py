"""Comparing a space with the active one before it is activated: coverage, overlap of what is found, nDCG."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType

from pgknowbase import gateway
from pgknowbase.embeddings import get_embedder
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.search.hits import literal, query_vector
from pgknowbase.vectorizer.change import Coverage
from pgknowbase.vectorizer.spaces import known_embedding

DEPTH = 10

Judgements = Mapping[str, Mapping[str, float]]
Hits = Mapping[str, Sequence[tuple[str, str]]]  # by query: source model and object key, best first


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two spaces; ``ndcg`` at 10 where there are judgements."""

    name: str
    model: str
    dimensions: int
    coverage: Coverage
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class SpaceComparison:
    """The active space and another one. ``overlap``: share of the ten best that both find, mean over ``queries``."""

    active: Side
    other: Side
    queries: int
    overlap: float | None
    judged: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_spaces(
    using: str, active: EmbeddingSpace, other: EmbeddingSpace, queries: Mapping[str, str], judgements: Judgements
) -> SpaceComparison:
    """Ask both the same queries (text by id), without filters or thresholds.

    Raises:
        SpaceMismatchError: the settings have no embedder for one of them.
        EmbeddingError: a query cannot be embedded.
    """
    found = [_asked(using, space, queries) for space in (active, other)]
    shared = [
        len(set(found[0][number]) & set(found[1][number])) / max(len(found[0][number]), len(found[1][number]), 1)
        for number in queries
    ]
    judged = [number for number in queries if any(grade > 0 for grade in judgements.get(number, {}).values())]

    def side(space: EmbeddingSpace, hits: Hits) -> Side:
        scores = [ndcg(_grades(judgements[number], hits[number]), judgements[number].values()) for number in judged]
        return Side(space.name, space.model, space.dimensions, Coverage.of(using, space), _mean(scores))

    return SpaceComparison(side(active, found[0]), side(other, found[1]), len(queries), _mean(shared), len(judged))


def _asked(using: str, space: EmbeddingSpace, queries: Mapping[str, str]) -> Hits:
    types = ContentType.objects.using(using).values_list("id", "app_label", "model")
    labels = {number: f"{app}.{model}" for number, app, model in types}
    embedder = get_embedder(known_embedding(space))

    def ask(text: str) -> list[tuple[str, str]]:
        vector = literal(query_vector(embedder, text))
        rows = gateway.fetch(using, gateway.SPACE_SEARCH, space.pk, vector, DEPTH)
        return [(labels.get(source, str(source)), key) for source, key, _ in rows]

    return {number: ask(text) for number, text in queries.items()}


def ndcg(found: Sequence[float], judged: Iterable[float], depth: int = DEPTH) -> float:
    """nDCG of the grades found, best first, against all grades judged: gain grade, discount log2(rank + 1), as BEIR."""
    best = _dcg(sorted(judged, reverse=True)[:depth])
    return _dcg(found[:depth]) / best if best else 0.0


def read_queries(path: str) -> dict[str, str]:
    """Queries by id: BEIR's JSON lines (``_id``, ``text``), or one query per line, whose id is its number.

    Raises:
        SpaceError: the file cannot be read, or holds no query.
    """
    lines = [line for line in _text(path).splitlines() if line.strip()]
    try:
        if lines and lines[0].lstrip().startswith("{"):
            rows = [json.loads(line) for line in lines]
            queries = {str(row["_id"]): str(row["text"]) for row in rows}
        else:
            queries = {str(number): line.strip() for number, line in enumerate(lines, 1)}
    except (ValueError, KeyError, TypeError) as error:
        raise SpaceError(
            f"{path!r} has a line that is no query ({error!r}): write '_id' and 'text' in each."
        ) from error
    if not queries:
        raise SpaceError(f"{path!r} holds no query: write one per line.")
    return queries


def read_judgements(path: str) -> Judgements:
    """Grades by query id and object from BEIR's qrels: query-id, corpus-id, score, separated by tabs, with a heading.

    The corpus-id is the object key, or 'app.model:key'.

    Raises:
        SpaceError: the file cannot be read, or is no such table.
    """
    grades: dict[str, dict[str, float]] = {}
    for number, row in enumerate(csv.reader(_text(path).splitlines(), delimiter="\t"), 1):
        try:
            query, document, score = row
            grades.setdefault(query, {})[document] = float(score)
        except ValueError as error:
            if number == 1:
                continue
            raise SpaceError(
                f"Line {number} of {path!r} is no judgement ({error}): write query-id, corpus-id and score, separated"
                " by tabs."
            ) from error
    return grades


def sampled_queries(using: str, number: int) -> dict[str, str]:
    """Titles of documents, the same ones each time."""
    titles = [row[0] for row in gateway.fetch(using, gateway.DOCUMENT_SAMPLE, number)]
    return {str(place): title for place, title in enumerate(titles, 1)}


def _grades(judged: Mapping[str, float], hits: Sequence[tuple[str, str]]) -> list[float]:
    return [judged.get(key, judged.get(f"{label}:{key}", 0.0)) for label, key in hits]


def _dcg(grades: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path!r} cannot be read ({error}): name a text file.") from error
