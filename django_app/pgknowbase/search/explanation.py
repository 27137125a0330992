"""How a search was made, from what its SQL functions noted."""

import json
from dataclasses import dataclass
from typing import TypeAlias

REASONS = {
    "exact_index": "exact over the index: small, {store_bytes:,} bytes of at most {small_bytes:,}",
    "exact_filtered": "exact over the filtered rows: {passing:,} pass, of at most {exact_below:,}",
    "walk": "index walk: {walked:,} chunks from the nearest on, ef_search {ef_search}",
    "walk_binary": "binary index walk: {walked:,} chunks, ef_search {ef_search}, {reranked:,} compared by vectors",
    "retried_exactly": "retried exactly: the index gave up after {walked:,} chunks",
    "words_all": "every document with a word of the text scored: {candidates:,} of {documents:,.0f}",
    "words_rare": "of {documents:,.0f} documents, over {most_candidates:,}, only those with {words}: {candidates:,}",
    "words_narrow": "only the rows that pass: {candidates:,} of them have a word of the text",
    "words_retried": "retried among the rows that pass, since too few have rare words: {candidates:,} have any",
    "words_none": "not searched for words: the text has none, or no words are indexed",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a search function.

    ``plan``: ``exact_index``, ``exact_filtered``, ``walk``, ``walk_binary`` or ``retried_exactly``. ``passing``:
    objects that pass the filters, where they were counted. ``reranked``: chunks found by a binary index that were
    compared by their vectors. ``walked``: chunks read along the index, ``ef_search`` at a
    time. ``index``: that of the only source model searched, where it has one.
    """

    plan: str
    asked: int
    found: int
    exact_below: int
    walked: int
    passing: int | None
    ef_search: int | None
    reranked: int | None
    index: str | None
    store_bytes: int | None
    small_bytes: int | None

    @classmethod
    def of(cls, noted: str, *, asked: int, found: int) -> "Step":
        """A step from what the SQL function noted, as JSON."""
        return cls(**json.loads(noted), asked=asked, found=found)

    def __str__(self) -> str:
        figures = {name: getattr(self, name) for name in self.__slots__}
        of_model = f", in {self.index}" if self.plan in ("walk", "walk_binary") and self.index else ""
        return f"{REASONS[self.plan].format(**figures)}{of_model}; {self.found} of {self.asked} found"


@dataclass(frozen=True, slots=True)
class WordStep:
    """One search for words.

    ``plan``: ``words_all``, ``words_rare``, ``words_narrow``, ``words_retried`` or ``words_none``. ``documents``: of
    the sources; ``candidates``: those scored; ``words``: the tsquery that chose them.
    """

    plan: str
    asked: int
    found: int
    documents: float
    candidates: int
    most_candidates: int
    words: str

    @classmethod
    def of(cls, noted: str, *, asked: int, found: int) -> "WordStep":
        """A step from what the SQL function noted, as JSON."""
        return cls(**json.loads(noted), asked=asked, found=found)

    def __str__(self) -> str:
        figures = {name: getattr(self, name) for name in self.__slots__}
        return f"{REASONS[self.plan].format(**figures)}; {self.found} of {self.asked} found"


@dataclass(frozen=True, slots=True)
class HybridStep:
    """One search by both.

    ``weight``: what meaning weighed, from 0 to 1: ``dense_weight``, or less where the legs agree less. ``agreement``:
    what BM25 gives the ten nearest, as a share of what it gives its own best ten.
    """

    near: Step
    worded: WordStep
    asked: int
    found: int
    weight: float
    dense_weight: float
    agreement: float

    @classmethod
    def of(cls, fused: str, near: str, worded: str, *, asked: int, found: int) -> "HybridStep":
        """A step from what the SQL functions noted, as JSON."""
        told = json.loads(fused)
        depth, nearest, scored = (told.pop(name) for name in ("depth", "near", "worded"))
        return cls(
            near=Step.of(near, asked=depth, found=nearest),
            worded=WordStep.of(worded, asked=5 * depth, found=scored),
            asked=asked,
            found=found,
            **told,
        )

    @property
    def plan(self) -> str:
        """The plans of both legs."""
        return f"{self.near.plan}+{self.worded.plan}"

    def __str__(self) -> str:
        return (
            f"by meaning: {self.near}\nby words: {self.worded}\n"
            f"fused: the legs agree by {self.agreement:.2f}, so meaning weighs {self.weight:.2f} of"
            f" {self.dense_weight:.2f}; {self.found} of {self.asked} found"
        )


AnyStep: TypeAlias = Step | WordStep | HybridStep


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was made. More than one step: rows that its queryset leaves out were among the hits."""

    steps: tuple[AnyStep, ...]
    limit: int
    offset: int
    found: int

    @property
    def plan(self) -> str:
        """The plan of the last step; ``nothing`` where no row passes the queryset's filters."""
        return self.steps[-1].plan if self.steps else "nothing"

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps] or ["not searched: no row passes the filters of the queryset"]
        return "\n".join(lines)
