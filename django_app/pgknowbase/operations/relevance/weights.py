"""The weight of the semantic score in hybrid search, fitted to labelled queries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Model

from pgknowbase.conf import get_settings
from pgknowbase.core.command_line import command_line
from pgknowbase.embeddings.factory import get_embedder
from pgknowbase.embeddings.serving import find_embedding
from pgknowbase.models import EmbeddingSpace, ExternalData
from pgknowbase.operations.relevance.judgements import (
    DEPTH,
    JudgementError,
    Judgements,
    ObjectRef,
    grades,
    judged_queries,
    ndcg,
)
from pgknowbase.spaces.specification import active_space

WEIGHTS = tuple(step / 20 for step in range(21))
FOLDS = 5
# Fused scores are linear in the weight between these, see pgknowbase_search_hybrid_v1, so the hits here give those at
# all others, except for objects that none of them ranks among so many.
CORNERS = (0.0, 0.45, 1.0)
CANDIDATES = 50

Scored = list[tuple[ObjectRef, float]]
Ndcgs = Mapping[float, Sequence[float]]  # by weight, one for each query


@dataclass(frozen=True, slots=True)
class Fit:
    """Mean nDCG@10 over ``queries``, of each mode, of the weight in use and of the fitted one.

    ``held_out`` is the figure to trust: each fold of the queries, ranked with the weight that was fitted to the others.
    ``curve`` has the mean by weight.
    """

    space: str
    queries: int
    keyword: float
    semantic: float
    weight_now: float
    now: float
    weight: float
    fitted: float
    held_out: float
    curve: dict[float, float]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @property
    def is_better(self) -> bool:
        """Whether fitted weights rank held-out queries better than the weight in use."""
        return self.held_out > self.now


@dataclass(frozen=True)
class WeightFitter:
    """Fits the weight to queries.

    Args:
        queries: texts by id.
        judgements: grades by query id.
        models: the source models to search; None: all.

    Raises:
        JudgementError: fewer than 20 queries have a relevant object.
    """

    using: str
    queries: Mapping[str, str]
    judgements: Judgements
    models: Sequence[type[Model]] | None = None

    def __post_init__(self) -> None:
        judged_queries(list(self.queries), self.judgements)  # refuses what says too little

    @property
    def judged(self) -> list[str]:
        """The ids of the queries with a relevant object."""
        return judged_queries(list(self.queries), self.judgements)

    def fit(self, weight_now: float, progress: Callable[[Sequence[str]], Iterable[str]] = iter) -> Fit:
        """Search for each query and fit the weight.

        Args:
            weight_now: the weight in use, see ``current_weight``.
            progress: wraps the ids of the queries, such as ``tqdm``.

        Raises:
            JudgementError: there is no active space.
            EmbeddingError: a query cannot be embedded.
        """
        space = active_space(self.using)
        if space is None:
            raise JudgementError(
                f"Database {self.using!r} has no active embedding space: run {command_line('migrate', self.using)!r}."
            )
        keyword, semantic, now = [], [], []
        ndcgs: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
        for query in progress(self.judged):
            keyword.append(self._ndcg(query, self._search(query, DEPTH, mode="keyword")))
            semantic.append(self._ndcg(query, self._search(query, DEPTH, mode="semantic", threshold=-1)))
            now.append(self._ndcg(query, self._hybrid(query, DEPTH, weight_now)))
            corners = {corner: dict(self._hybrid(query, CANDIDATES, corner)) for corner in CORNERS}
            for weight in WEIGHTS:
                ndcgs[weight].append(self._ndcg(query, fused(corners, weight).items()))
        weight = best_weight(ndcgs, range(len(now)), weight_now)
        fitted = [self._ndcg(query, self._hybrid(query, DEPTH, weight)) for query in self.judged]
        return Fit(
            space=space.name, queries=len(now), keyword=_mean(keyword), semantic=_mean(semantic),
            weight_now=weight_now, now=_mean(now), weight=weight, fitted=_mean(fitted),
            held_out=held_out(ndcgs, weight_now), curve={one: _mean(found) for one, found in ndcgs.items()},
        )  # fmt: skip

    def _hybrid(self, query: str, limit: int, weight: float) -> Scored:
        return self._search(query, limit, mode="hybrid", dense_weight=weight, threshold=-1)

    def _search(self, query: str, limit: int, **options: Any) -> Scored:
        rows: Any = ExternalData.objects.using(self.using).select_related("content_type")
        found = rows.search(self.queries[query], models=self.models, limit=limit, **options)
        return [
            ((f"{row.content_type.app_label}.{row.content_type.model}", row.object_key), row.score) for row in found
        ]

    def _ndcg(self, query: str, hits: Iterable[tuple[ObjectRef, float]]) -> float:
        judged = self.judgements[query]
        return ndcg(grades(judged, [key for key, _ in hits]), judged.values())


def fused(corners: Mapping[float, Mapping[ObjectRef, float]], weight: float) -> dict[ObjectRef, float]:
    """The first ten hits at ``weight`` with their scores, best first, from the scores at the weights ``CORNERS``."""
    low = max(corner for corner in CORNERS if corner <= weight)
    high = min(corner for corner in CORNERS if corner >= weight)
    share = (weight - low) / (high - low) if high > low else 0.0
    scores = {
        key: (1 - share) * corners[low].get(key, 0.0) + share * corners[high].get(key, 0.0)
        for key in dict.fromkeys((*corners[low], *corners[high]))
    }
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:DEPTH])


def best_weight(ndcgs: Ndcgs, chosen: Iterable[int], usual: float) -> float:
    """The weight with the best mean over the ``chosen`` queries; among equals the one nearest to ``usual``."""
    places = list(chosen)

    def order(weight: float) -> tuple[float, float]:
        return _mean([ndcgs[weight][place] for place in places]), -abs(weight - usual)

    return max(ndcgs, key=order)


def held_out(ndcgs: Ndcgs, usual: float) -> float:
    """Cross-validation: the mean nDCG of all queries, each at the weight that is best for the other folds."""
    count = len(next(iter(ndcgs.values())))
    folds = [range(first, count, FOLDS) for first in range(FOLDS)]
    found = []
    for fold in folds:
        weight = best_weight(ndcgs, (place for place in range(count) if place not in fold), usual)
        found += [ndcgs[weight][place] for place in fold]
    return _mean(found)


def current_weight(using: str) -> float:
    """The weight of hybrid searches that pass none: of the settings, else of the active space, else of its model."""
    configured, space = get_settings().search.dense_weight, active_space(using)
    if configured is not None:
        return configured
    if space is not None and space.dense_weight is not None:
        return space.dense_weight
    return get_embedder(find_embedding(space) if space else None).dense_weight


def save_weight(using: str, weight: float) -> EmbeddingSpace:
    """Let hybrid searches of the active space use ``weight``, from their next one on."""
    EmbeddingSpace.objects.using(using).filter(is_active=True).update(dense_weight=weight)
    return EmbeddingSpace.objects.using(using).get(is_active=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
