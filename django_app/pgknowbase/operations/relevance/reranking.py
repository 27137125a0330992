"""What a second stage gains over the first one, measured on labelled queries, and where searches have it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from django.db.models import Model

from pgknowbase.conf import get_settings
from pgknowbase.core.command_line import command_line
from pgknowbase.models import EmbeddingSpace, ExternalData
from pgknowbase.operations.relevance.judgements import (
    DEPTH,
    MIN_QUERIES,
    JudgementError,
    Judgements,
    grades,
    judged_queries,
    ndcg,
)
from pgknowbase.operations.relevance.weights import FOLDS
from pgknowbase.rerank import get_reranker
from pgknowbase.search.external import SearchMode
from pgknowbase.search.filters import RERANK_OFF
from pgknowbase.search.reranking import RerankRule, query_language
from pgknowbase.spaces.specification import active_space

# One-sided bound of the normal distribution: a gain counts if it is above 0 with nine chances in ten.
SURE = 1.28


@dataclass(frozen=True, slots=True)
class LanguageGain:
    """Mean nDCG@10 of the queries of one language without and with the second stage; whether it surely gains."""

    language: str
    queries: int
    without: float
    reranked: float
    gains: bool


@dataclass(frozen=True, slots=True)
class RerankGain:
    """Mean nDCG@10 over ``queries``, without a second stage and with it for all of them.

    ``held_out`` is the figure to trust: each fold of the queries, with the second stage in those languages in which it
    gains on the others. ``unanswered`` counts queries that it left in their first order, because it was late or failed.
    """

    reranker: str
    backend: str
    model: str
    mode: SearchMode
    queries: int
    without: float
    reranked: float
    held_out: float
    unanswered: int
    languages: tuple[LanguageGain, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @property
    def chosen(self) -> list[str]:
        """The languages in which it gains."""
        return [each.language for each in self.languages if each.gains]

    @property
    def is_better(self) -> bool:
        """Whether it ranks held-out queries better."""
        return bool(self.chosen) and self.held_out > self.without


@dataclass(frozen=True)
class RerankTrial:
    """Searches for labelled queries without and with a second stage.

    Args:
        reranker: an entry of ``RERANKERS``.
        queries: texts by id.
        judgements: grades by query id.
        mode: of the searches.
        models: the source models to search; None: all.

    Raises:
        JudgementError: fewer than 20 queries have a relevant object.
    """

    using: str
    reranker: str
    queries: Mapping[str, str]
    judgements: Judgements
    mode: SearchMode = "hybrid"
    models: Sequence[type[Model]] | None = None

    def __post_init__(self) -> None:
        judged_queries(list(self.queries), self.judgements)  # refuses what says too little

    @property
    def judged(self) -> list[str]:
        """The ids of the queries with a relevant object."""
        return judged_queries(list(self.queries), self.judgements)

    def run(self, progress: Callable[[Sequence[str]], Iterable[str]] = iter) -> RerankGain:
        """Search for each query twice.

        Args:
            progress: wraps the ids of the queries, such as ``tqdm``.

        Raises:
            JudgementError: there is no active space.
            ConfigurationError: the reranker cannot work.
            EmbeddingError: a query cannot be embedded.
        """
        if active_space(self.using) is None:
            raise JudgementError(
                f"Database {self.using!r} has no active embedding space: run {command_line('migrate', self.using)!r}."
            )
        get_reranker(self.reranker).verify()
        without, reranked, unanswered = [], [], 0
        for query in progress(self.judged):
            without.append(self._ndcg(query, RERANK_OFF)[0])
            score, answered = self._ndcg(query, self.reranker)
            reranked.append(score)
            unanswered += not answered
        languages = [query_language(self.queries[query]) for query in self.judged]
        entry = get_settings().rerankers[self.reranker]
        return RerankGain(
            reranker=self.reranker, backend=entry.backend, model=entry.model, mode=self.mode, queries=len(without),
            without=mean(without), reranked=mean(reranked), held_out=held_out(languages, without, reranked),
            unanswered=unanswered, languages=gains_by_language(languages, without, reranked),
        )  # fmt: skip

    def _ndcg(self, query: str, rerank: str) -> tuple[float, bool]:
        rows: Any = ExternalData.objects.using(self.using).select_related("content_type")
        threshold = None if self.mode == "keyword" else -1
        found = rows.search(
            self.queries[query], models=self.models, mode=self.mode, limit=DEPTH, threshold=threshold, rerank=rerank
        )
        keys = [(f"{row.content_type.app_label}.{row.content_type.model}", row.object_key) for row in found]
        judged, outcome = self.judgements[query], found.reranked
        return ndcg(grades(judged, keys), judged.values()), outcome is None or outcome.state == "done"


def gains_by_language(
    languages: Sequence[str], without: Sequence[float], reranked: Sequence[float]
) -> tuple[LanguageGain, ...]:
    """The figures of each language, in the order of their names."""
    found = []
    for language in sorted(set(languages)):
        places = [place for place, each in enumerate(languages) if each == language]
        before, after = [without[place] for place in places], [reranked[place] for place in places]
        gains = surely_gains([after[place] - before[place] for place in range(len(places))])
        found.append(LanguageGain(language, len(places), mean(before), mean(after), gains))
    return tuple(found)


def surely_gains(differences: Sequence[float]) -> bool:
    """Whether the mean of the differences, one for each query, is above 0 by more than chance.

    >>> surely_gains([0.1] * 20), surely_gains([0.9, -0.8] * 10), surely_gains([0.5] * 3)
    (True, False, False)
    """
    count = len(differences)
    # The folds of a cross-validation have a fifth less.
    if count < MIN_QUERIES - MIN_QUERIES // FOLDS:
        return False
    return mean(differences) > SURE * stdev(differences) / math.sqrt(count)


def held_out(languages: Sequence[str], without: Sequence[float], reranked: Sequence[float]) -> float:
    """Cross-validation: the mean nDCG of all queries, each with the second stage if its language gains on others."""
    found = []
    for fold in range(FOLDS):
        others = [place for place in range(len(without)) if place % FOLDS != fold]
        known = gains_by_language(*([each[place] for place in others] for each in (languages, without, reranked)))  # type: ignore[arg-type]
        chosen = {each.language for each in known if each.gains}
        found += [
            reranked[place] if languages[place] in chosen else without[place]
            for place in range(fold, len(without), FOLDS)
        ]
    return mean(found)


def named_reranker(name: str | None) -> str:
    """``name``, which RERANKERS has, or the only one that it has.

    Raises:
        JudgementError: there is none, or several and none is named.
    """
    known = sorted(get_settings().rerankers)
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        raise JudgementError(f"RERANKERS has {known!r}, and {name!r} was named: name one of them with --reranker.")
    return name


def save_rule(using: str, gain: RerankGain, models: Iterable[str]) -> EmbeddingSpace:
    """Let searches of the active space have the second stage where it gains, or nowhere where it does not.

    What was saved for other searches stays.
    """
    labels = tuple(sorted(models))
    space = EmbeddingSpace.objects.using(using).get(is_active=True)
    kept = [saved for saved in space.rerank if _kept(RerankRule.of(saved), gain, labels)]
    if gain.is_better:
        rule = RerankRule(gain.reranker, gain.backend, gain.model, gain.mode, labels, tuple(gain.chosen))
        kept.append(asdict(rule))
    EmbeddingSpace.objects.using(using).filter(pk=space.pk).update(rerank=kept)
    return space


def _kept(rule: RerankRule, gain: RerankGain, labels: tuple[str, ...]) -> bool:
    same_searches = (rule.mode, rule.models) == (gain.mode, labels)
    return not same_searches or (rule.name != gain.reranker and not gain.is_better)
