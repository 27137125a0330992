"""Which leased documents may be embedded now: by the rate of their provider, and by the caps of their model."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from pgknowbase.costs.caps import Caps, Demand, Refusal, Reservation, end_of
from pgknowbase.costs.ledger import read_spenders
from pgknowbase.embeddings.base import BatchLimits, Embedder
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.embedding import Vectors
from pgknowbase.vectorizer.leases import LeasedDocument, Leases
from pgknowbase.vectorizer.provider_rate import ProviderRate

logger = logging.getLogger("pgknowbase.vectorizer")

# What is waited for may be there by the time that somebody asks.
MIN_WAIT = 0.01


@dataclass
class Admitted:
    """What of a batch may be embedded.

    Attributes:
        documents: that may; those that have to wait were given back.
        texts: of them that may be sent now. Of a document of many calls the rest is due again after the batch.
        reservation: what the caps keep for them until ``Admission.correct``.
    """

    documents: Sequence[LeasedDocument] = ()
    texts: set[str] = field(default_factory=set)
    reservation: Reservation = field(default_factory=Reservation)


class Admission:
    """The admission of one executor's documents.

    Args:
        leases: by which documents that have to wait are given back.
        batch_size: most documents of a batch.
        embedding: the entry of EMBEDDINGS.
    """

    def __init__(self, using: str, leases: Leases, space: EmbeddingSpace, *, embedding: str, batch_size: int) -> None:
        self.using = using
        self.leases = leases
        self.space = space
        self.batch_size = batch_size
        self.rate = ProviderRate(using, embedding)
        # Twice as many documents as had room last time: each further one is split in vain.
        self.lease_size = batch_size
        # Seconds for which documents of the last batch wait for the rate.
        self.rate_wait = 0.0
        self._caps: Caps | None = None
        self._heard_of_caps: str | None = None

    def caps(self, embedder: Embedder) -> Caps:
        """The caps of this embedder's model."""
        if self._caps is None or self._caps.embedder is not embedder:
            self._caps = Caps(self.using, embedder, self.space.name, background=not self.space.is_active)
        return self._caps

    def is_closed(self, embedder: Embedder, *, backfill: bool) -> bool:
        """Whether no document of this kind is to be leased for now."""
        return self.rate.seconds_closed(backfill=backfill) > 0 or self.caps(embedder).is_closed(backfill=backfill)

    def hear_of_caps(self, embedder: Embedder) -> None:
        """Let documents that wait for the end of a period be due where the caps have changed."""
        signature = self.caps(embedder).signature
        if signature != self._heard_of_caps:
            self.leases.resume(signature, [end_of("day"), end_of("month")])
            self._heard_of_caps = signature

    def refuses(self, embedder: Embedder, text: str, documents: Sequence[LeasedDocument]) -> bool:
        """Whether the caps leave no room for one more text, for the sake of these documents, which wait then."""
        refusal = self.caps(embedder).refusal_of(len(text), backfill=self._is_background(documents))
        if refusal is not None and documents:
            self._refuse(refusal, documents)
        return refusal is not None

    def admit(
        self, embedder: Embedder, documents: Sequence[LeasedDocument], found: Vectors, limits: BatchLimits
    ) -> Admitted:
        """What may be embedded of these documents, in their order.

        Args:
            found: vectors that are there already, whose texts are not sent.
            limits: of one call.
        """
        texts = dict.fromkeys(text for document in documents for text in document.texts if text not in found)
        room = self.rate.take(embedder, list(texts), limits, background=self._is_background(documents))
        sent = set(islice(texts, room))
        self.rate_wait = max(self.rate.seconds_closed(backfill=True), MIN_WAIT) if len(sent) < len(texts) else 0.0
        documents = self._within_rate(documents, found, sent)
        documents, reservation = self._within_caps(embedder, documents, found)
        return Admitted(documents, sent, reservation)

    def correct(self, embedder: Embedder, admitted: Admitted) -> None:
        """Give back what was not used, when the ledger and the rate know of all calls."""
        self.caps(embedder).release(admitted.reservation)
        self.rate.correct(embedder)

    def _is_background(self, documents: Sequence[LeasedDocument]) -> bool:
        return not self.space.is_active or (bool(documents) and all(document.backfill for document in documents))

    def _within_rate(
        self, documents: Sequence[LeasedDocument], found: Vectors, sent: set[str]
    ) -> Sequence[LeasedDocument]:
        """Those of which something may be sent, or nothing has to; the others are due again."""
        admitted: list[LeasedDocument] = []
        waiting: list[LeasedDocument] = []
        for document in documents:
            needed = [text for text in document.texts if text not in found]
            (waiting if needed and sent.isdisjoint(needed) else admitted).append(document)
        if waiting:
            self.leases.release(waiting)
        if admitted:
            self.lease_size = min(self.batch_size, 2 * (len(admitted) if waiting else self.lease_size))
        return admitted

    def _within_caps(
        self, embedder: Embedder, documents: Sequence[LeasedDocument], found: Vectors
    ) -> tuple[Sequence[LeasedDocument], Reservation]:
        """The documents for which the caps leave room, and what is reserved for them; the others wait."""
        caps = self.caps(embedder)
        if not caps.caps or not documents:
            return documents, Reservation()
        seen = set(found)
        demands = []
        tenants = read_spenders(self.using, [document.key for document in documents])
        for document in documents:
            fresh = set(document.texts) - seen
            seen |= fresh
            _, tenant = tenants.get(document.key, ("", ""))
            demands.append(Demand(document.key, tenant, sum(map(len, fresh)), document.backfill))
        reservation = caps.reserve(demands)
        refused: dict[Refusal, list[LeasedDocument]] = defaultdict(list)
        for document in documents:
            if document.key in reservation.refused:
                refused[reservation.refused[document.key]].append(document)
        for refusal, group in refused.items():
            self._refuse(refusal, group)
        return [document for document in documents if document.key not in reservation.refused], reservation

    def _refuse(self, refusal: Refusal, documents: Sequence[LeasedDocument]) -> None:
        logger.warning("%d documents wait: %s", len(documents), refusal.reason)
        self.leases.release(documents, reason=refusal.reason, until=refusal.until)
