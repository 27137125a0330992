"""The low watermark of the outbox: where a claim starts to read.

Deleted events stay in the index until VACUUM may remove them, which an old snapshot anywhere can put off for hours. A
claim that started at the lowest id would walk over all of these dead entries each time.
"""

import time

from pgknowbase.core import gateway

REFRESH_SECONDS = 1.0
RESTART_SECONDS = 60.0


class OutboxLowWatermark:
    """Every event of the named sources with an id up to ``value`` is done, and none such can still appear.

    An event draws its id before its transaction commits, so a lower id may become visible after a higher one. So the
    mark rises in two looks: the first notes the last id drawn and the transactions that run; once all of these have
    ended, each event up to that id is either visible or will never be.

    Args:
        labels: of the source models.
        using: the alias of the database.
    """

    def __init__(self, labels: list[str], using: str) -> None:
        self.labels = labels
        self.using = using
        self.value = 0
        self._candidate: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._restarted_at = time.monotonic()

    def refresh(self) -> int:
        """The mark, which is computed anew at most once a second."""
        now = time.monotonic()
        if now - self._looked_at >= REFRESH_SECONDS:
            if now - self._restarted_at >= RESTART_SECONDS:
                # No event should be below the mark. Should one be, the next claim finds it a minute later at most.
                self.value, self._restarted_at = 0, now
            self._look()
            self._looked_at = time.monotonic()
        return self.value

    def _look(self) -> None:
        (seen,) = gateway.fetch(self.using, "outbox_low_watermark", labels=self.labels, low_watermark=self.value)
        lowest, last, running, finished = seen
        if last < self.value:  # the sequence was reset
            self.value, self._candidate = 0, None
        elif self._candidate is None:
            self._candidate = last, running
        elif finished >= self._candidate[1]:
            reached = self._candidate[0]
            self.value = max(self.value, reached if lowest is None else min(reached, lowest - 1))
            self._candidate = last, running
