"""How a search was run: the steps it took, from what its SQL functions recorded."""

import json
from dataclasses import dataclass
from typing import TypeAlias

from pgknowbase.rerank.stage import RerankState
from pgknowbase.search.nothing_found import NothingFound

DESCRIPTIONS = {
    "exact_index": "exact over the index: small, {store_bytes:,} bytes of at most {small_bytes:,}",
    "exact_unindexed": "exact over the index: {store_bytes:,} bytes, and its vector index is not built yet",
    "exact_filtered": "exact over the filtered rows: {passing:,} pass, of at most {exact_search_max_chunks:,}",
    "walk": "index walk: {walked:,} chunks from the nearest on, ef_search {ef_search}",
    "walk_binary": "binary index walk: {walked:,} chunks, ef_search {ef_search}, {reranked:,} compared by vectors",
    "retried_exactly": "retried exactly: the index gave up after {walked:,} chunks",
    "words_all": "every document with a word of the text scored: {candidates:,} of {documents:,.0f}",
    "words_best": "of {documents:,.0f} documents only those scored that may be best by {words}: {candidates:,}",
    "words_narrow": "only the rows that pass: {candidates:,} of them have a word of the text",
    "words_retried": "retried among the rows that pass, since too few of the best do: {candidates:,} have any",
    "words_none": "not searched for words: the text has none, or no words are indexed",
}


@dataclass(frozen=True, slots=True)
class DenseStep:
    """One search by vectors.

    Attributes:
        plan: ``exact_index``, ``exact_unindexed``, ``exact_filtered``, ``walk``, ``walk_binary`` or
            ``retried_exactly``.
        requested: hits that were asked for; ``found``: those that there were.
        exact_search_max_chunks: as the setting ``EXACT_SEARCH_MAX_CHUNKS``.
        walked: chunks read along the vector index, ``ef_search`` at a time.
        passing: objects that pass the filters, where they were counted.
        reranked: chunks from a binary index that were compared by their vectors.
        index: the vector index of the only source model searched, where it has one.
        store_bytes: size of the chunk store; up to ``small_bytes`` it is compared as a whole.
    """

    plan: str
    requested: int
    found: int
    exact_search_max_chunks: int
    walked: int
    passing: int | None
    ef_search: int | None
    reranked: int | None
    index: str | None
    store_bytes: int | None
    small_bytes: int | None

    @classmethod
    def of(cls, recorded: str, *, requested: int, found: int) -> "DenseStep":
        """A step from the JSON that ``pgknowbase_search_dense_v1`` recorded."""
        return cls(**json.loads(recorded), requested=requested, found=found)

    def __str__(self) -> str:
        of_model = f", in {self.index}" if self.plan in ("walk", "walk_binary") and self.index else ""
        return f"{_described(self)}{of_model}; {self.found} of {self.requested} found"


@dataclass(frozen=True, slots=True)
class KeywordStep:
    """One search by words.

    Attributes:
        plan: ``words_all``, ``words_best``, ``words_narrow``, ``words_retried`` or ``words_none``.
        requested: hits that were asked for; ``found``: those that there were.
        documents: documents of the sources that were searched.
        candidates: documents that were scored, at most ``most_candidates`` at first.
        words: the tsquery that chose the candidates.
    """

    plan: str
    requested: int
    found: int
    documents: float
    candidates: int
    most_candidates: int
    words: str

    @classmethod
    def of(cls, recorded: str, *, requested: int, found: int) -> "KeywordStep":
        """A step from the JSON that ``pgknowbase_bm25`` recorded."""
        return cls(**json.loads(recorded), requested=requested, found=found)

    def __str__(self) -> str:
        return f"{_described(self)}; {self.found} of {self.requested} found"


@dataclass(frozen=True, slots=True)
class HybridStep:
    """One search by both, and how their rankings were fused.

    Attributes:
        weight: what similarity weighed, from 0 to 1: ``dense_weight``, or less where the rankings agree less, or more
            where the coverage is low.
        dense_weight: what was asked for, else what suits the space; 0 where the model cannot read the text.
        agreement: what BM25 gives the ten nearest objects, as a share of what it gives its own best ten.
        coverage: of the words of the text, the share that one of the ten best objects by words has; None where the
            rankings agree, since then it does not count.
    """

    dense: DenseStep
    keyword: KeywordStep
    requested: int
    found: int
    weight: float
    dense_weight: float
    agreement: float
    coverage: float | None = None

    @classmethod
    def of(cls, fused: str, dense: str, keyword: str, *, requested: int, found: int) -> "HybridStep":
        """A step from the JSON that the three SQL functions of a hybrid search recorded."""
        recorded = json.loads(fused)
        depth, words_depth = recorded.pop("depth"), recorded.pop("words_depth")
        dense_found, keyword_found = recorded.pop("dense"), recorded.pop("keyword")
        return cls(
            dense=DenseStep.of(dense, requested=depth, found=dense_found),
            keyword=KeywordStep.of(keyword, requested=words_depth, found=keyword_found),
            requested=requested,
            found=found,
            **recorded,
        )

    @property
    def plan(self) -> str:
        """The plans of both rankings, such as ``walk+words_all``."""
        return f"{self.dense.plan}+{self.keyword.plan}"

    def __str__(self) -> str:
        if self.dense_weight == 0:
            why = "so meaning weighs nothing: it was asked for, or the model cannot read the text"
        else:
            why = f"so meaning weighs {self.weight:.2f} of {self.dense_weight:.2f}"
        covered = "" if self.coverage is None else f" and words cover {self.coverage:.2f} of the text"
        return (
            f"by meaning: {self.dense}\nby words: {self.keyword}\n"
            f"fused: the rankings agree by {self.agreement:.2f}{covered}, {why};"
            f" {self.found} of {self.requested} found"
        )


@dataclass(frozen=True, slots=True)
class RerankedHit:
    """A hit that the second stage has put into its place: its places by both stages, from 1, and both scores."""

    id: int
    rank: int
    first_rank: int
    score: float | None
    rerank_score: float | None


@dataclass(frozen=True, slots=True)
class RerankStep:
    """What the second stage did.

    Attributes:
        name: the entry of ``RERANKERS``.
        state: ``done``; or ``late`` or ``failed``: the order is that of the first stage, for this ``reason``.
        candidates: hits that it puts into a new order, at most.
        seconds: that it took.
        hits: those that were found, in their new order.
    """

    name: str
    model: str
    state: RerankState
    reason: str
    candidates: int
    seconds: float
    hits: tuple[RerankedHit, ...]

    def __str__(self) -> str:
        named = f"second stage {self.name!r} ({self.model})"
        if self.state != "done":
            return f"{named}: {self.state} after {self.seconds:.2f} s, so the order is that of the first: {self.reason}"
        places = ", ".join(
            f"{hit.rank} was {hit.first_rank} ({_score(hit.score)} -> {_score(hit.rerank_score)})" for hit in self.hits
        )
        return f"{named}: at most {self.candidates} put into a new order in {self.seconds:.2f} s: {places}"


SearchStep: TypeAlias = DenseStep | KeywordStep | HybridStep


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was run: what ``explain_search()`` returns. ``str()`` of it is the text to read.

    It has more than one step where some hits were not among the rows of the queryset, so that more hits had to be
    asked for. ``nothing`` says why, where nothing was found; ``rerank`` what a second stage did; ``missing`` which
    servers of the cluster, as host:port, did not answer, so that what is on them was not found.
    """

    steps: tuple[SearchStep, ...]
    limit: int
    offset: int
    found: int
    nothing: NothingFound | None = None
    rerank: RerankStep | None = None
    missing: tuple[str, ...] = ()

    @property
    def plan(self) -> str:
        """The plan of the last step; ``nothing`` where no row passes the filters of the queryset."""
        return self.steps[-1].plan if self.steps else "nothing"

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps] or ["not searched: no row passes the filters of the queryset"]
        lines += [str(each) for each in (self.rerank, self.nothing) if each is not None]
        if self.missing:
            lines.append(f"partial: without what is on {', '.join(self.missing)}, where no server answers")
        return "\n".join(lines)


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


def _described(step: DenseStep | KeywordStep) -> str:
    return DESCRIPTIONS[step.plan].format(**{name: getattr(step, name) for name in step.__slots__})
