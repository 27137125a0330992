"""Drift: differences between source rows and the index that no event, queue or retry will correct.

``check`` finds them for one source model, ``repair`` also indexes the objects again. Both go through the rows page by
page, then through the keys of the index, to find objects whose row is gone, and chunks and words that do not fit their
document. At last they compare the sums of the corpus, and embed a sample of the chunks again if they are asked to.

A page is compared while its objects are locked. The lock keeps every relay from writing these objects, and a relay
deletes an event only after it has written its object. So an object that differs from the row just read either has its
event still in the outbox, which the comparison reads last, or has drifted: writers and workers that run meanwhile cause
no false alarm.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import hypot
from typing import Any

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.keys import object_key, parse_keys
from pgknowbase.core.server_limits import describe_limit, in_portions
from pgknowbase.core.transactions import as_backfill, read_committed
from pgknowbase.embeddings import get_embedder
from pgknowbase.errors import SpaceMismatchError
from pgknowbase.relay.relay import sync_objects
from pgknowbase.relay.rendering import render_rows
from pgknowbase.relay.writing import SyncReport
from pgknowbase.search.servers_down import whole_answer
from pgknowbase.sources.registry import Source
from pgknowbase.spaces.specification import active_space, known_embedding, matching_space
from pgknowbase.sync.backfill import row_keys
from pgknowbase.vectorizer.chunking import Splitter, splitter_of
from pgknowbase.vectorizer.embedding import embed_texts

KINDS = ("missing", "stale", "orphaned", "dangling")
MAX_EXAMPLES = 20
# The keys under which differences of a whole model are reported.
CORPUS, COPIES = "(corpus)", "(copies)"
# A provider embeds the same text a little differently from call to call, and a store of halfvec rounds.
SAME_TEXT = 0.99  # cosine similarity

Progress = Callable[[int], object]


# Results


class Remedy(StrEnum):
    """What a repair does beyond rendering the row again.

    REWRITE: write the document, or delete its chunks, even if the stored hash is that of the row. EMBED: embed the
    chunks that are not those of the document. EMBED_ANEW: embed all of them. WORDS: make the words anew, or delete
    them. CORPUS: sum the model's corpus up anew. COPIES: put a chunk of each vector into the vector index.
    """

    REWRITE = "rewrite"
    EMBED = "embed"
    EMBED_ANEW = "embed anew"
    WORDS = "words"
    CORPUS = "corpus"
    COPIES = "copies"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that differs from its row.

    Args:
        kind: one of ``KINDS``.
        detail: the fields that differ, or what is wrong with its chunks or words.
        pending: the outbox or the queue holds what will correct it, so it has not drifted.
        remedy: what a repair does beyond rendering the row again.
    """

    object_key: str
    kind: str
    detail: str = ""
    pending: bool = False
    remedy: "Remedy | None" = None

    def __str__(self) -> str:
        return f"{self.object_key}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class Drift:
    """How the index of one source model differs from its committed rows.

    ``counts`` has the drifted objects by kind and ``pending`` the number of those that will be corrected; ``examples``
    and ``pending_examples`` are the first few. ``failed`` counts rows that could not be rendered. ``repaired`` and
    ``requeued`` say what a repair did.
    """

    model: str
    rows: int = 0
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    pending: int = 0
    examples: list[Difference] = field(default_factory=list)
    pending_examples: list[Difference] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    repaired: SyncReport = field(default_factory=SyncReport)
    requeued: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """The number of objects that have drifted."""
        return self.counts.total()

    def add(self, difference: Difference) -> None:
        """Count ``difference``, and keep it if there are few examples yet."""
        if difference.pending:
            self.pending += 1
        else:
            self.counts[difference.kind] += 1
        examples = self.pending_examples if difference.pending else self.examples
        if len(examples) < MAX_EXAMPLES:
            examples.append(difference)

    def add_failures(self, failures: list[tuple[str, str]]) -> None:
        """Count rows that could not be rendered (object key and error), and keep the first few."""
        self.failed += len(failures)
        self.failures += failures[: MAX_EXAMPLES - len(self.failures)]

    def figures(self) -> dict[str, Any]:
        """The numbers for one line of a table."""
        return {
            "model": self.model,
            "rows": self.rows,
            **self.counts,
            "pending": self.pending,
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            **self.figures(),
            "examples": [asdict(difference) for difference in self.examples],
            "failures": [{"object_key": key, "error": error} for key, error in self.failures],
            "repaired": {**self.repaired.counts, "requeued": self.requeued},
        }


# Check and repair


def check(
    source: Source,
    using: str,
    *,
    batch_size: int = 500,
    embeddings: int = 0,
    progress: Progress = lambda rows: None,
) -> Drift:
    """Compare one source model with the index; write nothing.

    Args:
        batch_size: rows that are locked and compared at a time.
        embeddings: how many chunks, taken at random, are embedded again and compared with their stored vectors.
        progress: called with the number of rows of each page.

    Raises:
        SpaceMismatchError: there is no active space, or with ``embeddings`` no embedder for it.
        EmbeddingError: a chunk could not be embedded.
    """
    return _Comparison(source, using, batch_size=batch_size, embeddings=embeddings).run(progress=progress)


def repair(
    source: Source,
    using: str,
    *,
    batch_size: int = 500,
    embeddings: int = 0,
    progress: Progress = lambda rows: None,
) -> Drift:
    """As ``check``, and index the drifted objects again; a worker then embeds what is new.

    Pending objects are left to the worker.
    """
    comparison = _Comparison(source, using, batch_size=batch_size, embeddings=embeddings)
    drift = comparison.drift

    def on_drift(differences: Sequence[Difference]) -> None:
        def refuse(difference: Difference, error: BaseException) -> SyncReport:
            told = describe_limit(error, using, advice="make the hooks of its model faster")
            return _repair_page(source, [difference], using, refused={difference.object_key: told})

        for report in in_portions(lambda some: _repair_page(source, some, using), differences, using, refuse=refuse):
            drift.repaired.add(report)
        drift.requeued += sum(each.remedy in {Remedy.EMBED, Remedy.EMBED_ANEW} for each in differences)

    return comparison.run(on_drift, progress)


def _repair_page(
    source: Source, differences: Sequence[Difference], using: str, *, refused: Mapping[str, str] | None = None
) -> SyncReport:
    source_id = source.content_type_id(using)
    of_model = {Remedy.CORPUS, Remedy.COPIES}
    keys = sorted({difference.object_key for difference in differences if difference.remedy not in of_model})

    def of(remedy: Remedy) -> list[str]:
        return sorted({difference.object_key for difference in differences if difference.remedy == remedy})

    with read_committed(using), as_backfill(using):
        gateway.fetch(using, "lock_objects", source=source_id, object_keys=keys)
        gateway.fetch(using, "invalidate", source=source_id, object_keys=keys, redo=of(Remedy.REWRITE))
        report = sync_objects(source, keys, using, refused=refused)
        gateway.fetch(using, "requeue", source=source_id, object_keys=of(Remedy.EMBED), anew=False)
        gateway.fetch(using, "requeue", source=source_id, object_keys=of(Remedy.EMBED_ANEW), anew=True)
        gateway.fetch(using, "word_repair", source=source_id, object_keys=of(Remedy.WORDS))
        if of(Remedy.CORPUS):
            gateway.fetch(using, "corpus_repair", source=source_id)
        if of(Remedy.COPIES):
            gateway.fetch(using, "copy_repair", source=source_id)
    return report


class _Comparison:
    """Compares one source model with its objects in the index and with the chunks of the active space."""

    def __init__(self, source: Source, using: str, *, batch_size: int, embeddings: int) -> None:
        self.source, self.using, self.batch_size, self.embeddings = source, using, batch_size, embeddings
        self.source_id = source.content_type_id(using)
        self.splitter = _active_splitter(using)
        self.drift = Drift(source.label)

    def run(
        self,
        on_drift: Callable[[Sequence[Difference]], None] = lambda differences: None,
        progress: Progress = lambda rows: None,
    ) -> Drift:
        """Compare every row, then everything that the index holds.

        ``on_drift`` gets the drifted objects of each page, outside the page's transaction.
        """
        started = time.perf_counter()
        for keys in row_keys(self.source, self.using, self.batch_size):
            for differences in in_portions(self._compare_rows, keys, self.using, refuse=self._refuse):
                self._add(differences, on_drift)
            self.drift.rows += len(keys)
            progress(len(keys))
        for keys in self._index_keys():
            found = [*self._compare_without_rows(keys), *self._compare_chunks(keys), *self._compare_words(keys)]
            self._add(found, on_drift)
        self._add([*self._compare_corpus(), *self._compare_copies(), *self._compare_embeddings()], on_drift)
        self.drift.seconds = time.perf_counter() - started
        return self.drift

    def _add(self, differences: Sequence[Difference], on_drift: Callable[[Sequence[Difference]], None]) -> None:
        for difference in differences:
            self.drift.add(difference)
        if drifted := [difference for difference in differences if not difference.pending]:
            on_drift(drifted)

    def _compare_rows(self, keys: Sequence[str]) -> list[Difference]:
        with read_committed(self.using):
            gateway.fetch(self.using, "lock_objects", source=self.source_id, object_keys=list(keys))
            rendering = render_rows(self.source, keys, self.using)
            failed = {key for key, _ in rendering.failures}
            differences = self._compare([key for key in keys if key not in failed], rendering.records)
        self.drift.add_failures(rendering.failures)
        return differences

    def _refuse(self, key: str, error: BaseException) -> list[Difference]:
        told = describe_limit(error, self.using, advice="make the hooks of its model faster")
        self.drift.add_failures([(key, told)])
        return []

    def _compare_without_rows(self, keys: Sequence[str]) -> list[Difference]:
        """The differences of the objects among ``keys`` whose row is gone."""
        rows = self.source.model._base_manager.using(self.using)
        with read_committed(self.using):
            gateway.fetch(self.using, "lock_objects", source=self.source_id, object_keys=list(keys))
            pks = rows.filter(pk__in=parse_keys(self.source.model, keys)).values_list("pk", flat=True)
            existing = {object_key(self.source.model, pk) for pk in pks}
            return self._compare([key for key in keys if key not in existing], {})

    def _compare(self, keys: Sequence[str], records: dict[str, str]) -> list[Difference]:
        if not keys:
            return []
        rows = f"[{','.join(records.values())}]"
        found = self._whole(
            lambda: gateway.fetch(
                self.using, "compare", source=self.source_id, label=self.source.label, object_keys=list(keys), rows=rows
            )
        )
        return [
            Difference(
                key,
                kind,
                ", ".join(fields),
                pending,
                Remedy.REWRITE if "document" in fields or kind == "missing" else None,
            )
            for key, kind, fields, pending in found
        ]

    def _whole(self, read: Callable[[], list[gateway.Row]]) -> list[gateway.Row]:
        return whole_answer(self.using, read, so="texts and chunks cannot be compared")

    def _index_keys(self) -> Iterator[list[str]]:
        last: str | None = None
        while page := gateway.fetch(
            self.using, "index_keys", source=self.source_id, after_key=last, max_keys=self.batch_size
        ):
            yield [row[0] for row in page]
            last = page[-1][0]

    def _compare_chunks(self, keys: Sequence[str]) -> Iterator[Difference]:
        """The differences between documents and chunks. One snapshot shows both and the queue, so no lock is needed."""
        for key, title, content, chunks, queued, dead, counted in self._whole(
            lambda: gateway.fetch(self.using, "chunk_state", source=self.source_id, object_keys=list(keys))
        ):
            stored = [tuple(chunk) for chunk in json.loads(chunks)]
            if content is None and title is not None:
                continue  # what the shards of a cluster have lost is found by the comparison with the row
            if content is None and stored:
                yield Difference(key, "dangling", "chunks without a document", remedy=Remedy.REWRITE)
            elif content is None and queued:
                # The worker that claims an item without a document deletes it.
                yield Difference(key, "dangling", "queued without a document", pending=True)
            elif queued:
                yield Difference(key, "dangling", "not embedded yet", pending=True)
            elif content is not None and not dead:
                wanted = self.splitter.split(self.source_id, key, title, content)
                if stored != list(enumerate(wanted)):
                    detail = "chunks of another text" if stored else "no chunks"
                    yield Difference(key, "dangling", detail, remedy=Remedy.EMBED)
                elif counted not in {None, len(stored)}:
                    detail = f"{counted} chunks counted, {len(stored)} stored"
                    yield Difference(key, "dangling", detail, remedy=Remedy.EMBED)

    def _compare_words(self, keys: Sequence[str]) -> Iterator[Difference]:
        for key, fault in gateway.fetch(self.using, "word_state", source=self.source_id, object_keys=list(keys)):
            yield Difference(key, "dangling", fault, remedy=Remedy.WORDS)

    def _compare_corpus(self) -> Iterator[Difference]:
        if not gateway.fetch_value(self.using, "corpus_state", source=self.source_id):
            yield Difference(CORPUS, "dangling", "sums of documents and words", remedy=Remedy.CORPUS)

    def _compare_copies(self) -> Iterator[Difference]:
        if hidden := gateway.fetch_value(self.using, "copy_state", source=self.source_id):
            detail = f"{hidden} vectors that the vector index does not hold"
            yield Difference(COPIES, "dangling", detail, remedy=Remedy.COPIES)

    def _compare_embeddings(self) -> Iterator[Difference]:
        """The objects of some chunks whose vectors are not those of their texts."""
        if not self.embeddings:
            return
        sample = gateway.fetch(self.using, "chunk_sample", source=self.source_id, max_chunks=self.embeddings)
        embedder = get_embedder(known_embedding(matching_space(self.using)))
        outcome = embed_texts(embedder, [text for _, text, _ in sample])
        for error in filter(None, (outcome.trouble, *outcome.refused.values())):
            raise error
        lowest: dict[str, float] = {}
        for key, text, stored in sample:
            similarity = _cosine(stored, outcome.vectors[text][0])
            lowest[key] = min(similarity, lowest.get(key, 1.0))
        for key, similarity in sorted(lowest.items()):
            if similarity < SAME_TEXT:
                detail = f"a vector whose similarity with that of its text is {similarity:.3f}"
                yield Difference(key, "dangling", detail, remedy=Remedy.EMBED_ANEW)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine similarity of two vectors of the same length."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / ((hypot(*one) * hypot(*other)) or 1.0)


def _active_splitter(using: str) -> Splitter:
    space = active_space(using)
    if space is None:
        raise SpaceMismatchError(
            f"Database {using!r} has no active embedding space: run {command_line('migrate', using)!r}."
        )
    return splitter_of(gateway.fetch_value(using, "vectorizer_configuration", vectorizer=space.vectorizer_id))
