"""What an executor does when its provider fails: a circuit that opens, probes with one document, and closes again.

The first failure opens it: nothing is leased during a pause. After the pause one document probes the provider, and each
success doubles the batch. Other workers hear of it by the database. A document has a delay of its own, and an attempt
that counts, only where it may be the cause.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence

from pgknowbase.conf import RetryPolicy
from pgknowbase.core.backoff import exponential_backoff
from pgknowbase.embeddings.base import Embedder
from pgknowbase.errors import (
    EmbeddingError,
    PermanentEmbeddingError,
    RetryableEmbeddingError,
    ThrottledEmbeddingError,
)
from pgknowbase.vectorizer.backoff import ProviderBackoff
from pgknowbase.vectorizer.embedding import Outcome
from pgknowbase.vectorizer.leases import LeasedDocument, Leases
from pgknowbase.vectorizer.outage import Outage

logger = logging.getLogger("pgknowbase.vectorizer")


class ProviderTrouble:
    """The trouble of one executor with its provider.

    Args:
        leases: of the executor, by which documents are given back.
        batch_size: documents of a full batch.
        retry: first and longest pause, of the provider and of documents.

    >>> trouble = ProviderTrouble("default", leases, batch_size=200, retry=settings.worker.retry)
    >>> trouble.heed(embedder, documents)  # those to continue with
    """

    def __init__(self, using: str, leases: Leases, *, batch_size: int, retry: RetryPolicy) -> None:
        self.leases = leases
        self.retry = retry
        self.backoff = ProviderBackoff(batch_size, delay=retry.delay, max_delay=retry.max_delay)
        self._outage = Outage(using)

    def heed(self, embedder: Embedder, documents: Sequence[LeasedDocument]) -> Sequence[LeasedDocument]:
        """The documents to continue with, in view of what other workers have heard from the provider."""
        if not documents:
            return documents
        if (pause := self._outage.look(embedder)) is not None:
            self.backoff.pause(pause)
            self.leases.release(documents)
            return []
        if not self._outage.is_known:
            return documents
        if not self.backoff.recovering and self.backoff.full_batch_size > 1:
            self.backoff.recover()
            if documents[1:]:
                self.leases.release(documents[1:])
        return documents[:1] if self.backoff.batch_size == 1 else documents

    def end(self, embedder: Embedder) -> None:
        """Take note of a batch without trouble."""
        self.backoff.succeeded()
        self._outage.end(embedder)

    def handle(self, embedder: Embedder, outcome: Outcome, waiting: Sequence[LeasedDocument]) -> None:
        """Give the provider a pause, or the documents a delay where one of them may be the cause.

        Args:
            outcome: of a batch that ended with a trouble.
            waiting: its documents that were not embedded.
        """
        error = outcome.trouble
        if error is None:
            return
        answered = len(outcome.vectors) > len(outcome.found)
        alone = len(waiting) == 1
        retry_after = error.retry_after if isinstance(error, RetryableEmbeddingError) else None
        if isinstance(error, ThrottledEmbeddingError | PermanentEmbeddingError):
            self.pause(embedder, error, answered=answered)
            # Alone, it makes room for the others: the next attempt is with one of them.
            at_its_end = alone and isinstance(error, PermanentEmbeddingError)
            self.postpone(waiting, error, outcome, delay=0.0 if at_its_end else None)
        elif answered or (alone and waiting[0].attempts and retry_after is None):
            # A text may well be the cause: it failed while others were embedded, or alone and not for the first time.
            failed = [document for document in waiting if any(text in outcome.failed for text in document.texts)]
            self.postpone(failed, error, outcome, delay=self._delay(error, failed), attempt=True)
            self.postpone([document for document in waiting if document not in failed], error, outcome)
            if retry_after is not None:
                self.pause(embedder, error, answered=True)
        else:
            self.pause(embedder, error)
            self.postpone(waiting, error, outcome, attempt=alone)

    def pause(self, embedder: Embedder, error: EmbeddingError, *, answered: bool = False) -> None:
        """Leave the provider alone, and let everybody know why."""
        retry_after = error.retry_after if isinstance(error, RetryableEmbeddingError) else None
        if answered and isinstance(error, RetryableEmbeddingError):
            seconds = self.backoff.pause(retry_after)
        else:
            seconds = self.backoff.failed(retry_after, answered=answered)
        logger.warning("the provider gets a pause of %.1f s: %s", seconds, error)
        self._outage.report(embedder, error, pause=seconds)

    def postpone(
        self,
        documents: Sequence[LeasedDocument],
        error: EmbeddingError,
        outcome: Outcome,
        *,
        delay: float | None = None,
        attempt: bool = False,
    ) -> None:
        """Give the documents back with the error, and with how much of each is embedded already."""
        by_reason: dict[str, list[LeasedDocument]] = defaultdict(list)
        for document in documents:
            texts = set(document.texts)
            done = len(texts & outcome.vectors.keys())
            own = next((outcome.failed[text] for text in document.texts if text in outcome.failed), error)
            progress = f" ({done:,} of {len(texts):,} texts of this document are embedded, and kept.)" if done else ""
            by_reason[f"{own}{progress}"].append(document)
        for reason, group in by_reason.items():
            if delay:
                logger.warning("%d documents wait %.0f s: %s", len(group), delay, reason)
            self.leases.release(group, delay=delay, reason=reason, attempt=attempt)

    def _delay(self, error: EmbeddingError, documents: Sequence[LeasedDocument]) -> float:
        """Seconds until the next attempt of documents, by the one with the most failed attempts before this."""
        attempts = max((document.attempts for document in documents), default=0)
        retry_after = error.retry_after if isinstance(error, RetryableEmbeddingError) else None
        backoff = exponential_backoff(attempts + 1, delay=self.retry.delay, max_delay=self.retry.max_delay)
        return min(max(backoff, retry_after or 0), self.retry.max_delay)
