"""Embedding many texts: concurrent calls within the provider's limits, and who is to blame where one fails."""

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field, replace

from pgknowbase.core.telemetry import current_context
from pgknowbase.costs.calls import Call, Record
from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_vectors, split_batches
from pgknowbase.embeddings.spans import embedding_span
from pgknowbase.errors import (
    EmbeddingError,
    EmbeddingSetupError,
    PermanentEmbeddingError,
    RefusedEmbeddingError,
    RetryableEmbeddingError,
    ThrottledEmbeddingError,
    UnknownTextError,
)

logger = logging.getLogger("pgknowbase.vectorizer")

# Any model embeds it, so a provider that refuses it too refuses everything.
PROBE = "test"
# Texts found at fault without another text embedded in between. From here on the request is more likely to be wrong for
# all of them, such as chunks longer than the model reads, and one pause costs less than thousands of dead letters.
MAX_REFUSED_IN_A_ROW = 5

# The vector of each text (``dimensions`` floats), and its token count if the backend knows it.
Vectors = dict[str, tuple[Vector, int | None]]
Keep = Callable[[Mapping[str, tuple[Vector, int | None]]], object]


@dataclass
class Outcome:
    """What became of the texts.

    Attributes:
        vectors: of those that were embedded.
        found: those of ``vectors`` that were embedded before, and kept.
        refused: those that are at fault themselves, with the provider's words.
        failed: those that were asked for in vain, for a reason that is the provider's.
        trouble: that reason. Nothing more was asked after it, so further texts may be in none of the three.
        max_texts: texts of the largest call that was accepted, where a larger one was refused for nothing but its size.
        refused_in_a_row: texts found at fault since the last one that was embedded.
    """

    vectors: Vectors = field(default_factory=dict)
    found: Vectors = field(default_factory=dict)
    refused: dict[str, EmbeddingError] = field(default_factory=dict)
    failed: dict[str, EmbeddingError] = field(default_factory=dict)
    trouble: EmbeddingError | None = None
    max_texts: int | None = None
    refused_in_a_row: int = 0

    def add(self, other: "Outcome") -> None:
        """Take in what became of other texts."""
        self.vectors.update(other.vectors)
        self.refused.update(other.refused)
        self.failed.update(other.failed)


def embed_texts(
    embedder: Embedder,
    texts: Iterable[str],
    pool: Pool | None = None,
    *,
    limits: BatchLimits | None = None,
    searching: bool = True,
    refused_in_a_row: int = 0,
    keep: Keep = lambda vectors: None,
    record: Record = lambda call: None,
    sent_in_vain: Container[str] = (),
) -> Outcome:
    """Embed each distinct text once, in calls on the threads of ``pool``, until the provider is in trouble.

    A refusal is the provider's until the contrary is shown. With ``searching`` the text that it concerns is looked for,
    by halving the call; a text is at fault if it is refused alone, another one is embedded, and it is refused again.

    Args:
        limits: of one call, by default the embedder's.
        searching: False right after a time in which all was well: the first refusal ends the calls.
        refused_in_a_row: texts found at fault since the last one that was embedded.
        keep: called, in this thread, with the vectors of each call but the last one.
        record: called, in any thread, with each call, for the ledger.
        sent_in_vain: texts that earlier calls have sent without getting their vectors.
    """
    # Elsewhere the texts of a document stay together, so that it can be written after one call.
    ordered = list(dict.fromkeys(texts)) if embedder.provider else _by_length(texts)
    groups = list(split_batches(ordered, limits or embedder.limits))
    calls = _Calls(embedder, searching=searching, refused_in_a_row=refused_in_a_row, record=record)
    calls.sent_in_vain.update(text for group in groups for text in group if text in sent_in_vain)
    spread = pool.map if pool is not None and len(groups) > 1 else map
    outcome, missing = Outcome(), len(groups)
    for part in spread(calls.embed, groups):
        missing -= 1
        if part.vectors and (missing or calls.trouble):
            keep(part.vectors)
        outcome.add(part)
    outcome.trouble, outcome.max_texts = calls.trouble, calls.max_texts
    outcome.refused_in_a_row = calls.refused_in_a_row
    return outcome


def ask(embedder: Embedder, texts: Sequence[str], *, record: Record, retried: bool = False) -> tuple[Vectors, Call]:
    """The vectors of the texts by one call, of which ``record`` is told whatever comes of it.

    Args:
        retried: a text of it was sent in vain before.

    Raises:
        EmbeddingError: as ``Embedder.embed_documents``, or the answer cannot be used.
    """
    began = time.monotonic()
    answer = Embeddings([])
    try:
        answer = embedder.embed_documents(texts)
        vectors = _checked(embedder, texts, answer)
    except EmbeddingError as error:
        billed = answer.total_tokens if error.billed_tokens is None else error.billed_tokens
        seconds = time.monotonic() - began
        call = Call(texts, total_tokens=billed, failed=True, retried=retried, seconds=seconds)
        throttled = isinstance(error, ThrottledEmbeddingError)
        record(replace(call, rate=error.rate or answer.rate, throttled=throttled))
        raise
    seconds = time.monotonic() - began
    call = Call(texts, answer.tokens, answer.total_tokens, retried=retried, seconds=seconds, rate=answer.rate)
    record(call)
    if call.is_doubtful:
        vectors = {text: (vector, None) for text, (vector, _) in vectors.items()}
    return vectors, call


def _checked(embedder: Embedder, texts: Sequence[str], answer: Embeddings) -> Vectors:
    if len(answer.vectors) != len(texts):
        raise RetryableEmbeddingError(
            f"{embedder.model!r} returned {len(answer.vectors)} vectors for {len(texts)} texts: retry the request."
        )
    check_vectors(answer.vectors, model=embedder.model, dimensions=embedder.dimensions)
    counts: Sequence[int | None] = answer.tokens if answer.tokens is not None else [None] * len(texts)
    return dict(zip(texts, zip(answer.vectors, counts, strict=True), strict=True))


def _by_length(texts: Iterable[str]) -> list[str]:
    """Because a local model pads every text of a call to the longest one."""
    return sorted(dict.fromkeys(texts), key=len)


class _Calls:
    """The calls for one batch of documents, from several threads. They end at the first trouble."""

    def __init__(self, embedder: Embedder, *, searching: bool, refused_in_a_row: int, record: Record) -> None:
        self.embedder = embedder
        self.record = record
        self.sent_in_vain: set[str] = set()
        self.searching = searching
        self.refused_in_a_row = refused_in_a_row
        self.trouble: EmbeddingError | None = None
        self.max_texts: int | None = None
        self._lock = threading.Lock()
        # The calls are made in other threads than the one whose batch they belong to.
        self._context = current_context()

    def embed(self, texts: Sequence[str]) -> Outcome:
        """Embed the texts by one call, or by several where a text is at fault; by none after a trouble."""
        if self.trouble is not None:
            return Outcome()
        try:
            vectors = self._ask(texts)
        except EmbeddingError as error:
            if not self._may_concern_text(error):
                return self._end(texts, error)
            return self._examine(texts[0], error) if len(texts) == 1 else self._halve(texts, error)
        self.refused_in_a_row = 0
        return Outcome(vectors)

    def _ask(self, texts: Sequence[str]) -> Vectors:
        retried = not self.sent_in_vain.isdisjoint(texts)
        with embedding_span(self.embedder, len(texts), parent=self._context) as told:
            try:
                vectors, call = ask(self.embedder, texts, record=self.record, retried=retried)
            except EmbeddingError:
                self.sent_in_vain.update(texts)
                raise
            if told.is_recording:
                told.set({"gen_ai.usage.input_tokens": call.billed_tokens})
        return vectors

    def _may_concern_text(self, error: EmbeddingError) -> bool:
        if isinstance(error, RefusedEmbeddingError):
            return self.searching
        return isinstance(error, PermanentEmbeddingError) and not isinstance(error, EmbeddingSetupError)

    def _end(self, texts: Iterable[str], error: EmbeddingError) -> Outcome:
        with self._lock:
            self.trouble = self.trouble or error
        return Outcome(failed=dict.fromkeys(texts, error))

    def _halve(self, texts: Sequence[str], error: EmbeddingError) -> Outcome:
        # One call shows whether the halving, which takes many, can find anything.
        if isinstance(error, RefusedEmbeddingError) and not self._answers():
            return self._end(texts, error)
        logger.info("halving a call of %d texts that was refused: %s", len(texts), error)
        middle = (len(texts) + 1) // 2
        outcome = self.embed(texts[:middle])
        outcome.add(self.embed(texts[middle:]))
        if len(outcome.vectors) == len(texts):
            self.max_texts = min(middle, self.max_texts or middle)
        return outcome

    def _examine(self, text: str, error: EmbeddingError) -> Outcome:
        """A text that was refused alone."""
        if isinstance(error, UnknownTextError):  # the model runs here, and says so of this text alone
            return Outcome(refused={text: error})
        if self.refused_in_a_row >= MAX_REFUSED_IN_A_ROW or not self._answers():
            return self._end([text], error)
        try:
            return Outcome(self._ask([text]))
        except EmbeddingError as again:
            if not self._may_concern_text(again):
                return self._end([text], again)
            with self._lock:
                self.refused_in_a_row += 1
            return Outcome(refused={text: again})

    def _answers(self) -> bool:
        """Whether the provider embeds a text that nothing is wrong with."""
        try:
            self._ask([PROBE])
        except EmbeddingError:
            return False
        return True
