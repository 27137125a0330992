"""The vectorizer executor: from pgai's queue to chunks and embeddings; no transaction is open over a provider call."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Self
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections, transaction

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Embedder
from pgknowbase.errors import EmbeddingError, PgKnowbaseError, RetryableEmbeddingError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.embed import Outcome, concerns_text, embed_texts
from pgknowbase.vectorizer.pace import Pace
from pgknowbase.vectorizer.pgai import Splitter, splitter
from pgknowbase.vectorizer.plan import ChunkPlan, document_digest, plan_chunks
from pgknowbase.vectorizer.spaces import known_embedding, matching_space

logger = logging.getLogger("pgknowbase.vectorizer")

DocumentKey = tuple[int, str]

UNWATCHED_LEASE = 120.0


@dataclass
class Leased:
    """One document on lease: its queue items, what it says, and what is to be done with its chunks."""

    key: DocumentKey
    items: list[str]
    attempts: int
    title: str
    content: str
    plan: ChunkPlan = field(default_factory=lambda: ChunkPlan((), ()))

    @property
    def digest(self) -> str:
        return document_digest(self.title, self.content)


Waiting = dict[EmbeddingError, list[Leased]]


@dataclass
class ExecutorBatch:
    """What one turn of the executor did, in documents; ``embedded`` counts texts that got a new vector."""

    claimed: int = 0
    written: int = 0
    again: int = 0
    failed: int = 0
    embedded: int = 0

    @property
    def idle(self) -> bool:
        return self.claimed == 0


class Executor:
    """Works off the queue of one space, by default of the active one; the settings must have its embedder.

    ``worker`` is the id under which its heart beats. Without one nobody would notice its death, and its leases are
    short.
    """

    def __init__(
        self,
        using: str | None = None,
        *,
        batch_size: int | None = None,
        concurrency: int | None = None,
        worker: UUID | None = None,
        space: EmbeddingSpace | None = None,
    ) -> None:
        settings = get_settings()
        self.using = using or settings.database
        self.settings = settings.worker
        self.worker = worker
        self.pace = Pace(
            batch_size or settings.worker.embed_batch_size,
            delay=settings.worker.retry_delay,
            longest=settings.worker.retry_delay_max,
        )
        self.space: EmbeddingSpace = space or matching_space(self.using)
        self.embedder: Embedder = get_embedder(known_embedding(self.space))
        self.embedder.verify()
        self.pool = ThreadPoolExecutor(concurrency or settings.worker.concurrency, "pgknowbase-embed")

    @cached_property
    def splitter(self) -> Splitter:
        """pgai's own chunking and formatting, as the vectorizer is configured."""
        return splitter(gateway.fetch_value(self.using, gateway.VECTORIZER, self.space.vectorizer_id))

    @cached_property
    def vector_oid(self) -> int:
        return int(gateway.fetch_value(self.using, gateway.VECTOR_OID, self.space.storage))

    def run_once(self) -> ExecutorBatch:
        """Lease a batch of documents, embed what changed in them and write it; none while the provider has a pause."""
        return ExecutorBatch() if self.pace.paused else self._run(None, None)

    def run_document(self, source: int, key: str) -> ExecutorBatch:
        """As ``run_once``, for one document."""
        return self._run(source, key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the threads."""
        self.pool.shutdown()

    def _run(self, source: int | None, key: str | None) -> ExecutorBatch:
        claimed = gateway.fetch(
            self.using,
            gateway.QUEUE_CLAIM,
            self.space.vectorizer_id,
            self.pace.size,
            self.settings.lease_seconds if self.worker else min(self.settings.lease_seconds, UNWATCHED_LEASE),
            source,
            key,
            self.worker,
        )
        if not claimed:
            return ExecutorBatch()
        lease = claimed[0][1]
        documents = _documents(claimed)
        self._plan(documents)
        texts = [text for document in documents for _, text in document.plan.missing]
        try:
            outcome = embed_texts(self.embedder, texts, self.pool)
        except PgKnowbaseError as error:
            self._release(documents, lease, None, str(error))
            raise
        batch = ExecutorBatch(claimed=len(documents), embedded=len(outcome.vectors))
        ready, waiting = self._sort(documents, outcome, lease, batch)
        if waiting and not outcome.vectors:
            self._pause(waiting, lease)
        else:
            self._postpone(waiting, lease)
            if texts:
                self.pace.good()
        if ready:
            try:
                self._write(ready, outcome, lease, batch)
            except DatabaseError:
                self._give_back(ready, lease)
                raise
        return batch

    def _give_back(self, documents: Sequence[Leased], lease: datetime) -> None:
        """After a failed write; a worker with a row does it at its next claim."""
        if self.worker is None and not connections[self.using].in_atomic_block:
            with suppress(DatabaseError, InterfaceError):
                self._release(documents, lease, None, "")

    def _plan(self, documents: Sequence[Leased]) -> None:
        stored: dict[DocumentKey, dict[int, str]] = defaultdict(dict)
        rows = gateway.fetch(
            self.using,
            gateway.CHUNKS,
            self.space.vectorizer_id,
            [document.key[0] for document in documents],
            [document.key[1] for document in documents],
        )
        for source, key, seq, text, reusable in rows:
            if reusable:
                stored[source, key][seq] = text
        for document in documents:
            wanted = self.splitter.split(*document.key, document.title, document.content)
            document.plan = plan_chunks(wanted, stored[document.key])

    def _sort(
        self, documents: Sequence[Leased], outcome: Outcome, lease: datetime, batch: ExecutorBatch
    ) -> tuple[list[Leased], Waiting]:
        """The documents that can be written, and those that the provider may embed later; what it refused is failed."""
        ready: list[Leased] = []
        waiting: dict[EmbeddingError, list[Leased]] = defaultdict(list)
        for document in documents:
            errors = [outcome.errors[text] for _, text in document.plan.missing if text in outcome.errors]
            permanent = [error for error in errors if concerns_text(error)]
            if permanent:
                self._fail(document, permanent[0], lease)
                batch.failed += 1
            elif errors:
                waiting[errors[0]].append(document)
            else:
                ready.append(document)
        batch.again = sum(map(len, waiting.values()))
        return ready, waiting

    def _pause(self, waiting: Waiting, lease: datetime) -> None:
        """Nothing could be embedded: no document is at fault, so all are due at once, and the provider gets a pause."""
        documents = [document for group in waiting.values() for document in group]
        wish = _wish(waiting)
        alone = len(documents) == 1
        if alone and documents[0].attempts and wish is None:
            # It failed alone before, so it may well be at fault: it waits, and the others need not.
            self._postpone(waiting, lease)
            return
        reason = str(next(iter(waiting)))
        logger.warning("the provider gets a pause of %.1f s: %s", self.pace.bad(wish), reason)
        self._release(documents, lease, None, reason, attempt=alone)

    def _postpone(self, waiting: Waiting, lease: datetime) -> None:
        for error, group in waiting.items():
            delay = self._delay(error, max(one.attempts for one in group))
            logger.warning("%d documents wait %.0f s: %s", len(group), delay, error)
            self._release(group, lease, delay, str(error), attempt=True)
        wish = _wish(waiting)
        if wish is not None:
            self.pace.pause(wish)

    def _delay(self, error: EmbeddingError, attempts: int) -> float:
        wish = error.retry_after if isinstance(error, RetryableEmbeddingError) else None
        backoff: float = self.settings.retry_delay * 2 ** min(attempts, 30)
        return min(max(backoff, wish or 0), self.settings.retry_delay_max)

    def _release(
        self, documents: Sequence[Leased], lease: datetime, delay: float | None, reason: str, *, attempt: bool = False
    ) -> None:
        items = [item for document in documents for item in document.items]
        gateway.fetch(self.using, gateway.QUEUE_RELEASE, self.space.vectorizer_id, items, lease, delay, reason, attempt)

    def _fail(self, document: Leased, error: EmbeddingError, lease: datetime) -> None:
        logger.error("document %s cannot be embedded: %s", document.key, error)
        for item in document.items:
            gateway.fetch(self.using, gateway.QUEUE_FAIL, self.space.vectorizer_id, item, lease, str(error))

    def _write(self, documents: Sequence[Leased], outcome: Outcome, lease: datetime, batch: ExecutorBatch) -> None:
        by_key = {document.key: document for document in documents}
        with transaction.atomic(using=self.using):
            states = self._open(documents)
            written = [key for key in by_key if states.get(key) == "open"]
            busy = [by_key[key] for key in by_key if states.get(key) == "busy"]
            rows = [
                (*key, seq, text, *outcome.vectors[text]) for key in written for seq, text in by_key[key].plan.missing
            ]
            if rows:
                space = self.space
                gateway.copy_chunks(
                    self.using, space.store_schema, space.store_table, space.storage, self.vector_oid, rows
                )
            items = [item for document in documents if document not in busy for item in document.items]
            gateway.fetch(
                self.using,
                gateway.STORE_CLOSE,
                self.space.vectorizer_id,
                items,
                lease,
                [source for source, _ in written],
                [key for _, key in written],
            )
            if busy:
                self._release(busy, lease, 0.1, "")
        batch.written += len(written)
        batch.again += len(busy)

    def _open(self, documents: Sequence[Leased]) -> dict[DocumentKey, str]:
        kept = [(document.key, chunk) for document in documents for chunk in document.plan.kept]
        rows = gateway.fetch(
            self.using,
            gateway.STORE_OPEN,
            self.space.vectorizer_id,
            [document.key[0] for document in documents],
            [document.key[1] for document in documents],
            [document.digest for document in documents],
            [source for (source, _), _ in kept],
            [key for (_, key), _ in kept],
            [chunk.old for _, chunk in kept],
            [chunk.new for _, chunk in kept],
            [chunk.digest for _, chunk in kept],
        )
        return {(source, key): state for source, key, state in rows}


def _wish(waiting: Waiting) -> float | None:
    """The longest Retry-After that the provider has asked for."""
    wishes = [error.retry_after for error in waiting if isinstance(error, RetryableEmbeddingError)]
    return max((wish for wish in wishes if wish is not None), default=None)


def _documents(claimed: Sequence[gateway.Row]) -> list[Leased]:
    documents: dict[DocumentKey, Leased] = {}
    for item, _, attempts, source, key, title, content in claimed:
        document = documents.setdefault((source, key), Leased((source, key), [], attempts, title, content))
        document.items.append(item)
    return list(documents.values())
