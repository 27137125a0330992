"""The second stage of a search: which reranker it has, and the order that this gives its best hits."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.keywords.language import COMMON, language_of
from pgknowbase.rerank.stage import Outcome, rerank
from pgknowbase.search.filters import RERANK_OFF, Options
from pgknowbase.search.plan import RerankedHit, RerankStep
from pgknowbase.search.queries import DenseQuery, Hit, HybridQuery, KeywordQuery, plain_text

MODES: Final[dict[type, str]] = {DenseQuery: "semantic", KeywordQuery: "keyword", HybridQuery: "hybrid"}
_LANGUAGES = frozenset(COMMON)


@dataclass(frozen=True, slots=True)
class RerankRule:
    """What ``pgknowbase_tune rerank`` has saved for a space: where a second stage gains.

    Attributes:
        name: the entry of ``RERANKERS``; ``backend`` and ``model`` are its own then.
        mode: of the searches.
        models: labels of the source models that are searched; empty: all.
        languages: of the queries, as ``query_language`` tells them.
    """

    name: str
    backend: str
    model: str
    mode: str
    models: tuple[str, ...]
    languages: tuple[str, ...]

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "RerankRule":
        """From the JSON of a space."""
        return cls(**{**saved, "models": tuple(saved["models"]), "languages": tuple(saved["languages"])})

    def holds(self, mode: str, models: Sequence[str], language: str) -> bool:
        """Whether a search has a second stage, as long as the entry of ``RERANKERS`` is what was measured."""
        entry = get_settings().rerankers.get(self.name)
        if entry is None or (entry.backend, entry.model) != (self.backend, self.model):
            return False
        return self.mode == mode and self.models == tuple(sorted(models)) and language in self.languages


@dataclass(frozen=True, slots=True)
class SecondStage:
    """What may follow a search for a text.

    Attributes:
        asked: an entry of ``RERANKERS``; None: the one that is known to gain, if there is any.
        mode: of the search.
        models: labels of the source models that are searched; empty: all.
    """

    asked: str | None
    mode: str
    models: tuple[str, ...]

    @classmethod
    def of(cls, query: object, options: Options, models: Iterable[str]) -> "SecondStage | None":
        """For a search; None where none can follow."""
        mode = MODES.get(type(query))
        if mode is None or options.rerank == RERANK_OFF or not get_settings().rerankers:
            return None
        # These are orders of their own, or hits without a text.
        if options.order_by or options.include_pending:
            return None
        return cls(options.rerank, mode, tuple(models))

    def chosen(self, using: str, text: str) -> str | None:
        """The entry of ``RERANKERS`` that reranks a search for ``text``; None: nobody does."""
        if self.asked is not None:
            return self.asked
        rules = saved_rules(using)
        language = query_language(text) if rules else ""
        return next((rule.name for rule in rules if rule.holds(self.mode, self.models, language)), None)


def saved_rules(using: str) -> list[RerankRule]:
    """Those of the active space."""
    return [RerankRule.of(saved) for (rules,) in gateway.fetch(using, "rerank_rules") for saved in json.loads(rules)]


def candidates(name: str) -> int:
    """How many hits an entry of ``RERANKERS`` puts into a new order."""
    return get_settings().rerankers[name].candidates


def reranked(using: str, name: str, text: str, best: Sequence[Hit]) -> tuple[list[Hit], Outcome]:
    """The hits with the first of them in a new order, and what became of the second stage.

    Args:
        best: the hits of the first stage, best first: what the viewer may see, and nothing else.
    """
    placed = [replace(hit, first_rank=place) for place, hit in enumerate(best, 1)]
    few = [hit for hit in placed[: candidates(name)] if hit.chunk]
    outcome = rerank(name, plain_text(using, text) or text, [hit.chunk or "" for hit in few])
    if outcome.state != "done":
        return placed, outcome
    scored = [replace(hit, rerank_score=score) for hit, score in zip(few, outcome.scores, strict=True)]
    scored.sort(key=lambda hit: -(hit.rerank_score or 0.0))  # stable: equal scores keep their order
    chosen = {hit.external_data_id for hit in few}
    return [*scored, *(hit for hit in placed if hit.external_data_id not in chosen)], outcome


def explained(outcome: Outcome, at_most: int, found: Sequence[Hit]) -> RerankStep:
    """What became of the second stage, as ``explain_search`` tells it: of ``at_most`` hits put into a new order."""
    hits = tuple(
        RerankedHit(hit.external_data_id, place, hit.first_rank or 0, hit.score, hit.rerank_score)
        for place, hit in enumerate(found, 1)
    )
    return RerankStep(outcome.name, outcome.model, outcome.state, outcome.reason, at_most, outcome.seconds, hits)


def query_language(text: str) -> str:
    """The language of a search text by its common words, else the script that most of its letters are of.

    >>> query_language("what is the price of the bread"), query_language("gears"), query_language("自行车")
    ('english', 'latin', 'cjk')
    """
    found = language_of(text, _LANGUAGES)
    if found != "simple":
        return found
    scripts = Counter(unicodedata.name(letter, "none").split()[0].lower() for letter in text[:500] if letter.isalpha())
    return max(sorted(scripts), key=scripts.__getitem__, default="none")
