"""The id below which the outbox holds nothing more.

Deleted events stay in the index until VACUUM may remove them, which an old snapshot anywhere can put off for hours. A
claim that started at the lowest id would walk over all of them each time.
"""

import time

from pgknowbase import gateway

REFRESH_SECONDS = 1.0
RESTART_SECONDS = 60.0


class OutboxFloor:
    """Raised as events are worked off; never above an event that is there or may still come."""

    def __init__(self, labels: list[str], using: str) -> None:
        self.labels = labels
        self.using = using
        self.value = 0
        self._candidate: tuple[int, int] | None = None
        self._looked = 0.0
        self._started = time.monotonic()

    def refresh(self) -> int:
        """The floor, looked after once a second."""
        now = time.monotonic()
        if now - self._looked >= REFRESH_SECONDS:
            if now - self._started >= RESTART_SECONDS:
                # Nothing should be below; should an assumption fail, it is found a minute later.
                self.value, self._started = 0, now
            self._look()
            self._looked = time.monotonic()
        return self.value

    def _look(self) -> None:
        (seen,) = gateway.fetch(self.using, gateway.OUTBOX_FLOOR, self.labels, self.value)
        lowest, last, running, finished = seen
        if last < self.value:  # the ids have begun anew
            self.value, self._candidate = 0, None
        elif self._candidate is None:
            self._candidate = last, running
        elif finished >= self._candidate[1]:
            reached = self._candidate[0]
            self.value = max(self.value, reached if lowest is None else min(reached, lowest - 1))
            self._candidate = last, running
