"""Comparing a space with the active one before it is activated: coverage, overlap of what is found, nDCG."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType

from pgknowbase import gateway
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import EmbeddingSpace
from pgknowbase.quality.judgements import DEPTH, Hits, Judgements, grades, is_judged, ndcg
from pgknowbase.search.hits import literal, query_vector
from pgknowbase.vectorizer.change import Coverage
from pgknowbase.vectorizer.spaces import known_embedding


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
    judged = [number for number in queries if is_judged(judgements, number)]

    def side(space: EmbeddingSpace, hits: Hits) -> Side:
        scores = [ndcg(grades(judgements[number], hits[number]), judgements[number].values()) for number in judged]
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


def sampled_queries(using: str, number: int) -> dict[str, str]:
    """Titles of documents, the same ones each time."""
    titles = [row[0] for row in gateway.fetch(using, gateway.DOCUMENT_SAMPLE, number)]
    return {str(place): title for place, title in enumerate(titles, 1)}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
