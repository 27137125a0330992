"""Backoff of one embedding provider: full batches, a pause after a failure, then growing batches from one document."""

import random
import time

from pgknowbase.core.backoff import exponential_backoff


class ProviderBackoff:
    """Says when the next batch may be leased, and how many documents it may have.

    A provider that fails is left alone for a while and then asked with one document; each success doubles the batch. So
    an outage costs few calls, and a batch that always fails shrinks to the document that makes it fail.

    Args:
        batch_size: documents of a full batch.
        delay: seconds of the first pause; each further failure doubles it.
        max_delay: upper bound of a pause, in seconds.
    """

    def __init__(self, batch_size: int, *, delay: float, max_delay: float) -> None:
        self.full_batch_size = batch_size
        self.batch_size = batch_size
        self._delay = delay
        self._max_delay = max_delay
        self._failures = 0
        self._paused_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether the provider is to be left alone for now."""
        return time.monotonic() < self._paused_until

    @property
    def recovering(self) -> bool:
        """Whether the last failure is recent: batches have not their full size yet."""
        return self.batch_size < self.full_batch_size

    def recover(self) -> None:
        """Begin with one document, because another process has seen the provider fail."""
        self.batch_size = 1

    def succeeded(self) -> None:
        """Take note of an answer."""
        self._failures = 0
        self.batch_size = min(self.full_batch_size, 2 * self.batch_size)

    def failed(self, retry_after: float | None, *, answered: bool = False) -> float:
        """Take note of a batch that ended with a failure.

        Args:
            retry_after: seconds that the provider asked for, which replace the computed pause.
            answered: a part of the batch was embedded before, so this failure is the first one.

        Returns:
            The pause in seconds.
        """
        self._failures = 1 if answered else self._failures + 1
        self.batch_size = 1
        backoff = exponential_backoff(self._failures, delay=self._delay, max_delay=self._max_delay, jitter=0.2)
        return self.pause(retry_after or backoff)

    def pause(self, seconds: float | None) -> float:
        """Leave the provider alone for ``seconds``, at most ``max_delay``; returns the pause in seconds.

        None stands for the first pause after a failure.

        It is never shorter than asked, and up to a tenth longer, so that workers do not come back all at once.
        """
        seconds = min(seconds or self._delay, self._max_delay) * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        return seconds
