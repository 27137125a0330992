"""What meaning should weigh against words in hybrid search, learnt from labelled queries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import models

from pgknowbase.conf import get_settings
from pgknowbase.models import EmbeddingSpace, ExternalData
from pgknowbase.quality.judgements import DEPTH, JudgementError, Judgements, grades, is_judged, ndcg
from pgknowbase.vectorizer.spaces import active_space

WEIGHTS = tuple(step / 20 for step in range(21))
FOLDS = 5
FEWEST = 20
USUAL = 0.45  # as pgknowbase_search_hybrid_v1 has it
# Fused scores are linear in the weight, so two rankings tell all others, but for rows that neither reaches so deep.
REACH = 50

Ranking = Sequence[tuple[str, str]]
Scores = Mapping[float, Sequence[float]]  # nDCG by weight, of each query


@dataclass(frozen=True, slots=True)
class Fit:
    """nDCG@10, mean over ``queries``: of the legs, of the weight in use and of the one that was found.

    ``held_out``: of weights that were each found without the fifth of the queries they are measured on. ``curve``: by
    weight.
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
        """For JSON."""
        return asdict(self)

    @property
    def is_better(self) -> bool:
        """Whether weights that were found so rank queries better that they were not found on."""
        return self.held_out > self.now


@dataclass(frozen=True)
class Fitting:
    """``queries`` (text by id) with ``judgements``, asked among ``among`` (None: all source models).

    Raises:
        JudgementError: too few of them have a relevant row.
    """

    using: str
    queries: Mapping[str, str]
    judgements: Judgements
    among: Sequence[type[models.Model]] | None = None

    def __post_init__(self) -> None:
        if len(self.judged) < FEWEST:
            raise JudgementError(
                f"{len(self.judged)} of {len(self.queries)} queries have a relevant row: judge at least {FEWEST}."
            )

    @property
    def judged(self) -> list[str]:
        """The ids of the queries that say something."""
        return [number for number in self.queries if is_judged(self.judgements, number)]

    def fit(self, weight_now: float, progress: Callable[[Iterable[str]], Iterable[str]] = iter) -> Fit:
        """Search for each query, and find the weight.

        Raises:
            JudgementError: nothing is indexed.
            EmbeddingError: a query cannot be embedded.
        """
        space = active_space(self.using)
        if space is None:
            raise JudgementError(f"Database {self.using!r} has no active embedding space: run 'manage.py migrate'.")
        keyword, semantic, now = [], [], []
        scores: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
        for number in progress(self.judged):
            keyword.append(self._ndcg(number, self._asked(number, DEPTH, leg="keyword")))
            semantic.append(self._ndcg(number, self._asked(number, DEPTH, leg="semantic", threshold=-1)))
            now.append(self._ndcg(number, self._hybrid(number, DEPTH, weight_now)))
            words, meaning = (dict(self._hybrid(number, REACH, end)) for end in (0.0, 1.0))
            for weight in WEIGHTS:
                scores[weight].append(self._ndcg(number, fused(words, meaning, weight).items()))
        weight = best(scores, range(len(now)), weight_now)
        fitted = [self._ndcg(number, self._hybrid(number, DEPTH, weight)) for number in self.judged]
        return Fit(
            space=space.name, queries=len(now), keyword=_mean(keyword), semantic=_mean(semantic),
            weight_now=weight_now, now=_mean(now), weight=weight, fitted=_mean(fitted),
            held_out=held_out(scores, weight_now), curve={one: _mean(found) for one, found in scores.items()},
        )  # fmt: skip

    def _hybrid(self, number: str, limit: int, weight: float) -> list[tuple[tuple[str, str], float]]:
        return self._asked(number, limit, leg="hybrid", dense_weight=weight, threshold=-1)

    def _asked(self, number: str, limit: int, **options: Any) -> list[tuple[tuple[str, str], float]]:
        rows: Any = ExternalData.objects.using(self.using).select_related("content_type")
        found = rows.search(self.queries[number], models=self.among, limit=limit, **options)
        return [
            ((f"{row.content_type.app_label}.{row.content_type.model}", row.object_key), row.score) for row in found
        ]

    def _ndcg(self, number: str, hits: Iterable[tuple[tuple[str, str], float]]) -> float:
        judged = self.judgements[number]
        return ndcg(grades(judged, [key for key, _ in hits]), judged.values())


def fused(
    words: Mapping[tuple[str, str], float], meaning: Mapping[tuple[str, str], float], weight: float
) -> dict[tuple[str, str], float]:
    """Scores at ``weight``, the best first, from those at 0 and at 1."""
    scores = {
        key: (1 - weight) * words.get(key, 0.0) + weight * meaning.get(key, 0.0)
        for key in dict.fromkeys((*words, *meaning))
    }
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:DEPTH])


def best(scores: Scores, chosen: Iterable[int], usual: float) -> float:
    """The weight with the best mean over the chosen queries; of equals the one nearest to ``usual``."""
    places = list(chosen)

    def order(weight: float) -> tuple[float, float]:
        return _mean([scores[weight][place] for place in places]), -abs(weight - usual)

    return max(scores, key=order)


def held_out(scores: Scores, usual: float) -> float:
    """Mean over all queries, each at the weight that is the best of the other folds."""
    count = len(next(iter(scores.values())))
    folds = [range(first, count, FOLDS) for first in range(FOLDS)]
    found = []
    for fold in folds:
        weight = best(scores, (place for place in range(count) if place not in fold), usual)
        found += [scores[weight][place] for place in fold]
    return _mean(found)


def weight_in_use(using: str) -> float:
    """What meaning weighs in hybrid searches that name no weight."""
    configured, space = get_settings().search.dense_weight, active_space(using)
    if configured is not None:
        return configured
    return USUAL if space is None or space.dense_weight is None else space.dense_weight


def keep(using: str, weight: float) -> EmbeddingSpace:
    """Let hybrid searches of the active space weigh meaning so from now on."""
    EmbeddingSpace.objects.using(using).filter(is_active=True).update(dense_weight=weight)
    return EmbeddingSpace.objects.using(using).get(is_active=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
