"""Comparison of a space with the active one before it is activated: coverage, overlap of the hits, nDCG."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType

from pgknowbase.core import gateway
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.query_vectors import literal, query_vector
from pgknowbase.models import EmbeddingSpace
from pgknowbase.operations.relevance.judgements import DEPTH, Judgements, ObjectRef, Rankings, grades, is_judged, ndcg
from pgknowbase.spaces.lifecycle import Coverage
from pgknowbase.spaces.specification import known_embedding


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two spaces; ``ndcg`` is the mean nDCG@10, or None without judgements."""

    name: str
    model: str
    dimensions: int
    coverage: Coverage
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class SpaceComparison:
    """The active space and another one.

    ``overlap`` is the share of the first ten hits that both find, mean over ``queries``; ``judged`` counts the queries
    with a relevant object.
    """

    active: Side
    other: Side
    queries: int
    overlap: float | None
    judged: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def compare_spaces(
    using: str, active: EmbeddingSpace, other: EmbeddingSpace, queries: Mapping[str, str], judgements: Judgements
) -> SpaceComparison:
    """Search both spaces for the same queries, without filters or thresholds.

    Args:
        queries: texts by id.
        judgements: grades by query id; may be empty.

    Raises:
        SpaceMismatchError: the settings have no embedder for one of them.
        EmbeddingError: a query cannot be embedded.
    """
    found = [_rankings(using, space, queries) for space in (active, other)]
    shared = [
        len(set(found[0][number]) & set(found[1][number])) / max(len(found[0][number]), len(found[1][number]), 1)
        for number in queries
    ]
    judged = [number for number in queries if is_judged(judgements, number)]

    def side(space: EmbeddingSpace, hits: Rankings) -> Side:
        scores = [ndcg(grades(judgements[number], hits[number]), judgements[number].values()) for number in judged]
        return Side(space.name, space.model, space.dimensions, Coverage.of(using, space), _mean(scores))

    return SpaceComparison(side(active, found[0]), side(other, found[1]), len(queries), _mean(shared), len(judged))


def _rankings(using: str, space: EmbeddingSpace, queries: Mapping[str, str]) -> Rankings:
    types = ContentType.objects.using(using).values_list("id", "app_label", "model")
    labels = {number: f"{app}.{model}" for number, app, model in types}
    embedder = get_embedder(known_embedding(space))

    def search(text: str) -> list[ObjectRef]:
        vector = literal(query_vector(embedder, text))
        rows = gateway.fetch(using, "space_search", space=space.pk, query=vector, max_hits=DEPTH)
        return [(labels.get(source, str(source)), key) for source, key, _ in rows]

    return {query_id: search(text) for query_id, text in queries.items()}


def sample_titles(using: str, number: int) -> dict[str, str]:
    """At most ``number`` titles of documents as queries, by id; the same ones each time."""
    titles = [row[0] for row in gateway.fetch(using, "document_sample", limit=number)]
    return {str(place): title for place, title in enumerate(titles, 1)}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
