"""Documents on lease: taken from pgai's queue of one space, given back to it, or refused for good."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.costs.ledger import DocumentKey
from pgknowbase.errors import EmbeddingError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.chunking import ChunkPlan, document_digest

logger = logging.getLogger("pgknowbase.vectorizer")

# A lease is released by its worker, or by another one after HEARTBEAT_TIMEOUT. Its end is the last resort, for a worker
# whose heartbeat row was lost too, so it must be longer than any batch takes.
LEASE_SECONDS = 3600.0
# Without a heartbeat nobody notices that a process has died, so its leases must end soon by themselves.
UNWATCHED_LEASE_SECONDS = 120.0
# For so long a text may be on its way to its server of the cluster. One that goes between the two phases of a commit
# has its part of it done each minute (citus.recover_2pc_interval) once it is back.
ABSENT_SECONDS = 150.0


@dataclass
class LeasedDocument:
    """One document on lease: its queue items, its text, and what is to be done with its chunks.

    ``lease`` is the end of the lease, by which the queue knows it; Python hands it back as it came.
    """

    key: DocumentKey
    lease: str
    attempts: int
    title: str
    content: str
    backfill: bool = False
    items: list[str] = field(default_factory=list)
    plan: ChunkPlan = field(default_factory=lambda: ChunkPlan((), ()))
    # What must be embedded: the texts of the plan's missing chunks.
    texts: Sequence[str] = ()
    # Texts for which new vectors were requested, though they have some.
    anew: set[str] = field(default_factory=set)

    @property
    def digest(self) -> str:
        return document_digest(self.title, self.content)


def _fresh_first(documents: list[LeasedDocument]) -> list[LeasedDocument]:
    """Fresh documents with one of a backfill after each seven, in case that not all can be sent."""
    fresh = [document for document in documents if not document.backfill]
    backfill = [document for document in documents if document.backfill]
    places = {id(document): float(place) for place, document in enumerate(fresh)}
    places |= {id(document): 7.0 * place + 6.5 for place, document in enumerate(backfill)}
    return sorted(documents, key=lambda document: places[id(document)])


class Leases:
    """The leases of one executor.

    Args:
        worker: the id of the heartbeat under which documents are leased. Without one the leases are short.

    >>> leases = Leases("default", space, worker=None)
    >>> leases.release(leases.take(10))
    """

    def __init__(self, using: str, space: EmbeddingSpace, worker: UUID | None) -> None:
        self.using = using
        self.vectorizer = space.vectorizer_id
        self.worker = worker

    def take(
        self,
        max_items: int,
        *,
        fresh_only: bool = False,
        source: int | None = None,
        key: str | None = None,
        marked: bool = True,
    ) -> list[LeasedDocument]:
        """Lease documents that are due, of up to ``max_items`` queue items.

        Args:
            fresh_only: none of a backfill.
            source, key: only the document of this content type and object key.
            marked: show their objects as processing.
        """
        claimed = gateway.fetch(
            self.using,
            "queue_claim",
            vectorizer=self.vectorizer,
            max_items=max_items,
            lease_seconds=LEASE_SECONDS if self.worker else UNWATCHED_LEASE_SECONDS,
            only_source=source,
            only_id=key,
            worker=self.worker,
            fresh_only=fresh_only,
            marked=marked,
        )
        documents: dict[DocumentKey, LeasedDocument] = {}
        for item, lease, attempts, source_id, object_key, title, content, backfill in claimed:
            # A document that changed twice stands in the queue twice, and is embedded once.
            leased = LeasedDocument((source_id, object_key), lease, attempts, title, content, backfill)
            documents.setdefault(leased.key, leased).items.append(item)
        if absent := [document for document in documents.values() if document.content is None]:
            self._wait_for_texts(absent)
        return _fresh_first([document for document in documents.values() if document.content is not None])

    def release(
        self,
        documents: Sequence[LeasedDocument],
        *,
        reason: str = "",
        delay: float | None = None,
        attempt: bool = False,
        until: datetime | None = None,
    ) -> None:
        """Give leases back: due after ``delay`` seconds or at ``until``, at once for None.

        ``attempt``: it counts as a failed one.
        """
        gateway.fetch(
            self.using,
            "queue_release",
            vectorizer=self.vectorizer,
            items=[item for document in documents for item in document.items],
            lease=documents[0].lease,
            delay=delay,
            reason=reason,
            attempt=attempt,
            until=until,
        )

    def _wait_for_texts(self, documents: Sequence[LeasedDocument]) -> None:
        """Give leases back of which the server of the cluster that should have the text has none, or another one.

        Their transaction has ended here and not yet there. Where it should have long since, the text is lost: the
        object has failed, and a relay renders it anew.
        """
        retry = get_settings().worker.retry
        reason = (
            "The text is not on the server of the cluster on which it should be. It is rendered anew at the next"
            f" attempt, or by {command_line('pgknowbase_dead_letters --retry', self.using)!r};"
            f" {command_line('sync_external_models --repair', self.using)!r} finds all that are lost."
        )
        lost = gateway.fetch(
            self.using,
            "queue_absent",
            vectorizer=self.vectorizer,
            items=[item for document in documents for item in document.items],
            lease=documents[0].lease,
            reason=reason,
            patience=ABSENT_SECONDS,
            max_attempts=retry.max_attempts,
            delay=retry.delay,
            max_delay=retry.max_delay,
        )
        for key in lost:
            logger.error("document %s: %s", key, reason)

    def fail(self, document: LeasedDocument, error: EmbeddingError) -> None:
        """Make the document a dead letter."""
        logger.error("document %s cannot be embedded: %s", document.key, error)
        vectorizer, lease = self.vectorizer, document.lease
        for item in document.items:
            gateway.fetch(self.using, "queue_fail", vectorizer=vectorizer, item=item, lease=lease, reason=str(error))

    def resume(self, caps: str, ends: Sequence[datetime]) -> None:
        """Let documents that wait for one of the moments ``ends`` be due, if the caps have changed."""
        gateway.fetch(self.using, "queue_resume", vectorizer=self.vectorizer, caps=caps, ends=list(ends))
