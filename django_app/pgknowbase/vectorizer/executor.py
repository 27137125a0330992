"""The vectorizer executor: from pgai's queue to chunks with embeddings.

A batch is leased, planned, embedded and written. Between lease and write no transaction is open, because a call to the
provider may take minutes; the write finds out what changed meanwhile. Where a batch takes several calls, the documents
of one are written while the next one runs.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.capture.tracing import take_for_vectorizer
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.server_limits import PortionSize, can_go_smaller, describe_limit, exceeded_limit, in_portions
from pgknowbase.core.telemetry import span
from pgknowbase.core.transactions import read_committed
from pgknowbase.costs.calls import Call
from pgknowbase.costs.ledger import DocumentKey, EmbeddingUsage
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import BatchLimits, Embedder, Vector
from pgknowbase.errors import (
    EmbeddingError,
    PgKnowbaseError,
    UnknownTextError,
)
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.specification import known_embedding, matching_space
from pgknowbase.vectorizer.admission import Admission, Admitted
from pgknowbase.vectorizer.chunking import Splitter, plan_chunks, splitter_of
from pgknowbase.vectorizer.embedding import Keep, Outcome, Vectors, embed_texts
from pgknowbase.vectorizer.in_flight import InFlight
from pgknowbase.vectorizer.kept_vectors import KeptVectors
from pgknowbase.vectorizer.leases import LeasedDocument, Leases
from pgknowbase.vectorizer.model_check import PROBE, ModelCheck
from pgknowbase.vectorizer.provider_trouble import ProviderTrouble

logger = logging.getLogger("pgknowbase.vectorizer")

# Documents leased at a time: enough texts to fill a provider's largest request, few enough that a failed batch costs
# little. The backoff starts from it and shrinks it.
EMBED_BATCH_SIZE = 200
# Twice as many where another process embeds, in two calls: while it is at the second, the first is written. More would
# let a fresh document wait longer for the batch before its own.
CALLS_PER_BATCH = 2
# After a batch that took less, the objects of the next one are not shown as processing while they are: nobody would
# see it, and it writes each of them, and its place in each index, a second time.
SHOWN_SECONDS = 1.0
# Another worker is writing the document at this moment.
BUSY_SECONDS = 0.1


@dataclass
class ExecutorBatch:
    """What one turn of the executor did, in documents; ``embedded`` counts texts that got a new vector.

    ``interrupted``: the lease exceeded a time limit of the server, and is tried again with fewer documents.
    ``rate_wait``: seconds until the provider's rate allows more, where documents may wait for it.
    """

    claimed: int = 0
    written: int = 0
    retried: int = 0
    failed: int = 0
    embedded: int = 0
    interrupted: bool = False
    rate_wait: float = 0.0

    @property
    def idle(self) -> bool:
        return self.claimed == 0 and not self.interrupted


class Executor:
    """Embeds the documents in the queue of one space. The settings must have the space's embedder.

    Args:
        using: the alias of the database, by default ``DATABASE``.
        batch_size: documents leased at a time, by default 200, or 400 where another process embeds.
        concurrency: provider calls at the same time, by default ``WORKER["CONCURRENCY"]``.
        worker: the id of the heartbeat under which documents are leased. Without one the leases are short.
        space: by default the active one.

    Raises:
        SpaceMismatchError: the settings have no embedder for the space.

    >>> with Executor() as executor:
    ...     while not executor.run_once().idle: ...
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
        self.space: EmbeddingSpace = space or matching_space(self.using)
        self.leases = Leases(self.using, self.space, worker)
        embedding = known_embedding(self.space)
        self.embedder: Embedder = get_embedder(embedding)
        batch_size = batch_size or EMBED_BATCH_SIZE * (CALLS_PER_BATCH if self.embedder.provider else 1)
        self._size = PortionSize(batch_size)
        self.trouble = ProviderTrouble(self.using, self.leases, batch_size=batch_size, retry=settings.worker.retry)
        self.admission = Admission(self.using, self.leases, self.space, embedding=embedding, batch_size=batch_size)
        # Before anything is leased: a missing key is not the fault of a document, and must not count as an attempt.
        self.embedder.verify()
        self.pool = ThreadPoolExecutor(concurrency or settings.worker.concurrency, "pgknowbase-embed")
        self._in_flight = InFlight(self.using, worker)
        self._batch_seconds = SHOWN_SECONDS
        self._model = ModelCheck(self.using, self.space, note=self.admission.rate.note)
        self._refused_in_a_row = 0
        self._sent_in_vain: set[str] = set()
        self._recorded_fingerprint: str | None = None
        # Smaller than the embedder's once the provider has refused a call for its size.
        self._limits: BatchLimits | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown()

    @cached_property
    def splitter(self) -> Splitter:
        """pgai's own chunking and formatting, as the vectorizer is configured."""
        row = gateway.fetch_value(self.using, "vectorizer_configuration", vectorizer=self.space.vectorizer_id)
        return splitter_of(row, self.embedder)

    @cached_property
    def vector_oid(self) -> int:
        """The oid of the type in which the space stores its vectors."""
        return int(gateway.fetch_value(self.using, "type_oid", type=self.space.storage))

    def run_once(self) -> ExecutorBatch:
        """Lease a batch of documents, embed what changed in them and write it; none during a pause of the provider.

        Raises:
            ModelChangedError: another model answers by the name of the space's.
        """
        if self.trouble.backoff.paused:
            return ExecutorBatch()
        self._model.run_while_changed(self.embedder)
        rate_wait = self.admission.rate.seconds_closed(backfill=True)
        try:
            documents = self._lease()
        except (DatabaseError, InterfaceError) as error:
            if self._size.value == 1 or not can_go_smaller(error, self.using):
                raise
            self._size.exceeded()
            return ExecutorBatch(interrupted=True)
        if documents:
            self._size.succeeded()
        elif self._model.is_due_while_idle and not self.admission.refuses(self.embedder, PROBE, ()):
            self._model.run_while_idle(self.embedder)
        return self._run(documents) if documents else ExecutorBatch(rate_wait=rate_wait)

    def run_document(self, source: int, key: str) -> ExecutorBatch:
        """As ``run_once``, for the one document of this content type and object key."""
        return ExecutorBatch() if self.trouble.backoff.paused else self._run(self._lease(source, key))

    def _run(self, leased: Sequence[LeasedDocument]) -> ExecutorBatch:
        documents = self.trouble.heed(self.embedder, leased)
        if not documents:
            return ExecutorBatch()
        with span("pgknowbase.vectorizer", {"pgknowbase.space": self.space.name}) as told:
            if told.is_recording and self.space.is_active:
                told.link(take_for_vectorizer(self.using, [document.key for document in documents]))
            began = time.monotonic()
            batch = self._run_batch(documents)
            self._batch_seconds = time.monotonic() - began
            if told.is_recording:
                counts = {name: getattr(batch, name) for name in ("written", "embedded", "retried", "failed")}
                told.set({f"pgknowbase.documents.{name}": count for name, count in counts.items()})
        return batch

    def _run_batch(self, documents: Sequence[LeasedDocument]) -> ExecutorBatch:
        self._plan(documents)
        if not self._check_model(documents):
            return ExecutorBatch(claimed=len(documents), retried=len(documents))
        kept = self._kept_vectors()
        waiting: Sequence[LeasedDocument] = ()
        try:
            # Before the look for vectors, or one that is stored in between would be paid for again.
            of_others = self._in_flight.enter(
                self.embedder,
                {text for document in documents for text in document.texts if text not in document.anew},
                fingerprint=kept.fingerprint,
            )
            found = self._find(documents, kept)
            of_others -= found.keys()
            waiting = [document for document in documents if not of_others.isdisjoint(document.texts)]
            batch = self._embed_and_write([each for each in documents if each not in waiting], kept, found)
        finally:
            self._in_flight.leave()
            if waiting:
                self._in_flight.wait_for_others()
                self.leases.release(waiting)
        batch.claimed += len(waiting)
        return batch

    def _embed_and_write(self, documents: Sequence[LeasedDocument], kept: KeptVectors, found: Vectors) -> ExecutorBatch:
        limits = self.admission.rate.limits(self._call_limits(documents, found))
        admitted = self.admission.admit(self.embedder, documents, found, limits)
        documents = admitted.documents
        batch = ExecutorBatch(claimed=len(documents))
        vectors, unwritten = dict(found), list(documents)

        def write_embedded(embedded: Mapping[str, tuple[Vector, int | None]]) -> None:
            """Write the documents that have all their vectors now, and keep what others need of those of this call."""
            vectors.update(embedded)
            ready: list[LeasedDocument] = []
            incomplete: list[LeasedDocument] = []
            for document in unwritten:
                (ready if all(text in vectors for text in document.texts) else incomplete).append(document)
            unwritten[:] = incomplete
            self._write_in_portions(ready, vectors, kept, batch)
            rest = {text for document in unwritten for text in document.texts}
            if needed := {text: vector for text, vector in embedded.items() if text in rest}:
                kept.keep(needed)

        try:
            outcome = self._embed(admitted, kept, found, limits, write_embedded)
        except PgKnowbaseError as error:
            if unwritten:
                self.leases.release(unwritten, reason=str(error))
            raise
        finally:
            self.admission.correct(self.embedder, admitted)
        if not documents:
            return ExecutorBatch(rate_wait=self.admission.rate_wait)
        batch.embedded = len(outcome.vectors) - len(outcome.found)
        ready, waiting = self._sort(unwritten, outcome, batch)
        if outcome.trouble is not None:
            batch.retried = len(waiting)
            self.trouble.handle(self.embedder, outcome, waiting)
        else:
            if waiting:
                self._release_unfinished(waiting, outcome, kept)
            if batch.embedded or outcome.refused:
                self._after_success(outcome)
        self._write_in_portions(ready, outcome.vectors, kept, batch)
        return batch

    def _call_limits(self, documents: Sequence[LeasedDocument], found: Vectors) -> BatchLimits:
        """The limits of one call, such that a large batch takes several: one is written while the next one runs."""
        limits = self._limits or self.embedder.limits
        if not self.embedder.provider:
            return limits
        texts = {text for document in documents for text in document.texts if text not in found}
        share = max(EMBED_BATCH_SIZE, -(-len(texts) // CALLS_PER_BATCH))
        return replace(limits, max_texts=min(limits.max_texts, share))

    def _release_unfinished(self, documents: Sequence[LeasedDocument], outcome: Outcome, kept: KeptVectors) -> None:
        """Give back documents of which the provider's rate has allowed a part, and keep that part."""
        texts = {text for document in documents for text in document.texts}
        if made := {text: vector for text, vector in outcome.vectors.items() if text in texts - outcome.found.keys()}:
            kept.keep(made)
        self.leases.release(documents)

    def _check_model(self, documents: Sequence[LeasedDocument]) -> bool:
        """Whether the space's model answers. If nobody does, no text is the cause: the documents wait for the provider.

        Raises:
            ModelChangedError: another model answers.
        """
        if self._model.is_due and self.admission.refuses(self.embedder, PROBE, documents):
            return False
        try:
            self._model.run(self.embedder)
        except EmbeddingError as error:
            self.trouble.pause(self.embedder, error)
            self.trouble.postpone(documents, error, Outcome())
            return False
        except PgKnowbaseError as error:
            self.leases.release(documents, reason=str(error))
            raise
        return True

    def _find(self, documents: Sequence[LeasedDocument], kept: KeptVectors) -> Vectors:
        """The vectors that were paid for already."""
        texts = dict.fromkeys(text for document in documents for text in document.texts)
        return kept.find(texts.keys() - {text for document in documents for text in document.anew})

    def _embed(
        self, admitted: Admitted, kept: KeptVectors, found: Vectors, limits: BatchLimits, write_embedded: Keep
    ) -> Outcome:
        """Embed what may be sent of the documents, except what was paid for already.

        Args:
            write_embedded: called with the vectors of each call but the last one, while the next one runs.
        """
        if not admitted.documents:
            return Outcome()
        # Short ones first, so that a trouble finds them written.
        documents = sorted(admitted.documents, key=lambda document: len(document.texts))
        texts = dict.fromkeys(text for document in documents for text in document.texts)
        usage = self._usage(admitted.documents)
        usage.reuse(text for text in found if text in texts)

        def record(call: Call) -> None:
            usage.add(call)
            self.admission.rate.note(call)

        def keep(vectors: Mapping[str, tuple[Vector, int | None]]) -> None:
            usage.write()
            write_embedded(vectors)

        try:
            outcome = embed_texts(
                self.embedder,
                (text for text in texts if text in admitted.texts),
                self.pool,
                limits=limits,
                searching=self.trouble.backoff.recovering,
                refused_in_a_row=self._refused_in_a_row,
                keep=keep,
                record=record,
                sent_in_vain=self._sent_in_vain,
            )
        finally:
            # Beside the transaction that writes the documents: what was paid for is paid, whether they are written.
            usage.write()
        self._sent_in_vain = set(outcome.failed)
        self._refused_in_a_row = outcome.refused_in_a_row
        outcome.found.update(found)
        outcome.vectors.update(found)
        return outcome

    def _usage(self, documents: Sequence[LeasedDocument]) -> EmbeddingUsage:
        first: dict[str, DocumentKey] = {}
        for document in documents:
            for text in document.texts:
                first.setdefault(text, document.key)
        return EmbeddingUsage(self.using, self.embedder, self.space.name, first)

    def _kept_vectors(self) -> KeptVectors:
        fingerprint = self._model.fingerprint(self.embedder)
        if self._recorded_fingerprint != fingerprint:
            made_by = gateway.fetch_value(self.using, "space_made_by", space=self.space.pk, fingerprint=fingerprint)
            if made_by == "mixed":
                logger.warning(
                    "the space %r holds vectors that were made with other options of its embedding: run %r to have"
                    " all of one kind",
                    self.space.name,
                    command_line("pgknowbase_space rebuild", self.using),
                )
            self._recorded_fingerprint = fingerprint
        return KeptVectors(
            self.using,
            self.embedder,
            self.space,
            fingerprint=fingerprint,
            max_vectors=self.settings.max_kept_vectors,
        )

    # Lease and plan

    def _lease(self, source: int | None = None, key: str | None = None) -> list[LeasedDocument]:
        admission, embedder = self.admission, self.embedder
        admission.hear_of_caps(embedder)
        if admission.is_closed(embedder, backfill=False):
            return []
        return self.leases.take(
            min(self.trouble.backoff.batch_size, self._size.value, admission.lease_size),
            fresh_only=admission.is_closed(embedder, backfill=True),
            source=source,
            key=key,
            marked=self._batch_seconds >= SHOWN_SECONDS,
        )

    def _plan(self, documents: Sequence[LeasedDocument]) -> None:
        stored: dict[DocumentKey, dict[int, str]] = defaultdict(dict)
        anew: dict[DocumentKey, set[str]] = defaultdict(set)
        rows = gateway.fetch(
            self.using,
            "chunks",
            vectorizer=self.space.vectorizer_id,
            sources=[document.key[0] for document in documents],
            ids=[document.key[1] for document in documents],
        )
        for source, key, seq, text, reusable in rows:
            if reusable:  # False once new vectors were requested for the same text
                stored[source, key][seq] = text
            else:
                anew[source, key].add(text)
        for document in documents:
            document.anew = anew[document.key]
            wanted = self.splitter.split(*document.key, document.title, document.content)
            document.plan = plan_chunks(wanted, stored[document.key])
            document.texts = [text for _, text in document.plan.missing]

    # What the provider did not embed

    def _sort(
        self, documents: Sequence[LeasedDocument], outcome: Outcome, batch: ExecutorBatch
    ) -> tuple[list[LeasedDocument], list[LeasedDocument]]:
        """The documents that can be written, and those that wait. Those with a text at fault become dead letters.

        A document some of whose chunks the model does not know is written without these.
        """
        ready: list[LeasedDocument] = []
        waiting: list[LeasedDocument] = []
        for document in documents:
            errors = [outcome.refused[text] for text in document.texts if text in outcome.refused]
            refused = [error for error in errors if not isinstance(error, UnknownTextError)]
            has_vectors = len(document.plan.kept) + len(document.plan.missing) > len(errors)
            if refused or (errors and not has_vectors):
                self.leases.fail(document, (refused or errors)[0])
                batch.failed += 1
            elif not all(text in outcome.vectors or text in outcome.refused for text in document.texts):
                waiting.append(document)
            else:
                ready.append(document)
                if errors:
                    logger.warning("document %s: %d chunks are left out: %s", document.key, len(errors), errors[0])
        return ready, waiting

    def _after_success(self, outcome: Outcome) -> None:
        if outcome.max_texts is not None:
            self._limits = replace(self._limits or self.embedder.limits, max_texts=outcome.max_texts)
            logger.warning(
                "the provider refuses larger calls than one of %d texts: set MAX_TEXTS to this number",
                outcome.max_texts,
            )
        self.trouble.end(self.embedder)

    def _refuse(self, document: LeasedDocument, error: BaseException, batch: ExecutorBatch) -> None:
        """Its chunks alone take too long to write: it becomes a dead letter, and the others are written."""
        told = describe_limit(error, self.using, advice="let its model return less text")
        if exceeded_limit(error) == "lock_timeout":  # somebody else holds it, for now
            self.leases.release([document], delay=self.settings.retry.delay, reason=told, attempt=True)
            batch.retried += 1
            return
        self.leases.fail(document, EmbeddingError(told))
        batch.failed += 1

    def _release_after_failed_write(self, documents: Sequence[LeasedDocument]) -> None:
        """Without a heartbeat the leases would last until their end; a worker with one gets them at its next claim."""
        if self.worker is None and not connections[self.using].in_atomic_block:
            with suppress(DatabaseError, InterfaceError):
                self.leases.release(documents)

    # Write

    def _write_in_portions(
        self, documents: Sequence[LeasedDocument], vectors: Vectors, kept: KeptVectors, batch: ExecutorBatch
    ) -> None:
        if not documents:
            return
        try:
            in_portions(
                lambda portion: self._write(portion, vectors, kept, batch),
                documents,
                self.using,
                refuse=lambda document, error: self._refuse(document, error, batch),
            )
        except DatabaseError:
            self._release_after_failed_write(documents)
            raise

    def _write(
        self, documents: Sequence[LeasedDocument], vectors: Vectors, kept: KeptVectors, batch: ExecutorBatch
    ) -> None:
        by_key = {document.key: document for document in documents}
        space = self.space
        # One transaction, so that a search sees all old or all new chunks of a document.
        with read_committed(self.using):
            states = self._open(documents)
            written = [key for key in by_key if states.get(key) == "open"]
            busy = [by_key[key] for key in by_key if states.get(key) == "busy"]
            rows = [
                (*key, seq, text, *vectors[text])
                for key in written
                for seq, text in by_key[key].plan.missing
                if text in vectors
            ]
            if rows:
                gateway.copy_chunks(
                    self.using, space.store_schema, space.store_table, space.storage, self.vector_oid, rows
                )
            # A document whose text has changed meanwhile is done too: the change has queued it anew.
            items = [item for document in documents if document not in busy for item in document.items]
            gateway.fetch(
                self.using,
                "store_close",
                vectorizer=space.vectorizer_id,
                items=items,
                lease=documents[0].lease,
                sources=[source for source, _ in written],
                ids=[key for _, key in written],
            )
            if busy:
                self.leases.release(busy, delay=BUSY_SECONDS)
            kept.forget(text for key in written for text in by_key[key].texts)
        batch.written += len(written)
        batch.retried += len(busy)

    def _open(self, documents: Sequence[LeasedDocument]) -> dict[DocumentKey, str]:
        """Lock the documents, move and delete their stored chunks; the state of each, see the SQL function."""
        kept = [(document.key, chunk) for document in documents for chunk in document.plan.kept]
        rows = gateway.fetch(
            self.using,
            "store_open",
            vectorizer=self.space.vectorizer_id,
            sources=[document.key[0] for document in documents],
            ids=[document.key[1] for document in documents],
            digests=[document.digest for document in documents],
            kept_sources=[source for (source, _), _ in kept],
            kept_ids=[key for (_, key), _ in kept],
            kept_old=[chunk.old for _, chunk in kept],
            kept_new=[chunk.new for _, chunk in kept],
            kept_digests=[chunk.digest for _, chunk in kept],
        )
        return {(source, key): state for source, key, state in rows}
