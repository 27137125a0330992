"""The low watermark of the outbox: where a claim starts to read.

Deleted events stay in the index until VACUUM may remove them, which an old snapshot anywhere can put off for hours. A
claim that started at the lowest id would walk over all of these dead entries each time.
"""

import time
from typing import Any

from django.db import connections

from pgknowbase.core import gateway

REFRESH_SECONDS = 1.0
# While this relay does nothing: others may.
IDLE_REFRESH_SECONDS = 10.0
RESTART_SECONDS = 60.0
# After so many events the mark is computed anew at once: to walk over as many dead entries takes about as long.
REFRESH_EVENTS = 200


class OutboxLowWatermark:
    """Every event of the named sources with an id up to ``value`` is done, but for those that may still appear.

    An event draws its id before its transaction commits, so a lower id may become visible after a higher one. Only
    transactions that ran when the mark was computed can have such an event. ``open`` has their numbers, each with the
    last id that was drawn before it began; the statement that finds one of them ended reads from there. So neither a
    snapshot nor a writer that stays open for hours holds the mark down.

    Args:
        labels: of the source models.
        using: the alias of the database.
    """

    def __init__(self, labels: list[str], using: str) -> None:
        self.labels = labels
        self.using = using
        self.value = 0
        self.open: dict[int, int] = {}
        self._last = 0
        self._due_at = 0.0
        self._events = 0
        self._restarted_at = time.monotonic()

    @property
    def place(self) -> dict[str, Any]:
        """The mark as parameters of the queries that read the outbox."""
        return {"low_watermark": self.value, "open": list(self.open), "since": list(self.open.values())}

    def refresh(self) -> int:
        """The mark, which is computed anew a second after ``note``, at once after ``expire``, and now and then."""
        now = time.monotonic()
        if now >= self._due_at and not connections[self.using].in_atomic_block:
            if now - self._restarted_at >= RESTART_SECONDS:
                # No event should be below the mark. Should one be, the next claim finds it a minute later at most.
                self._restart()
                self._restarted_at = now
            self._look()
            self._events = 0
            self._due_at = time.monotonic() + IDLE_REFRESH_SECONDS
        return self.value

    def note(self, events: int) -> None:
        """So many events are done since."""
        self._events += events
        if events:
            self._due_at = min(self._due_at, time.monotonic() + REFRESH_SECONDS)
        if self._events >= REFRESH_EVENTS:
            self.expire()

    def expire(self) -> None:
        """Compute the mark anew at the next refresh."""
        self._due_at = 0.0

    def _restart(self) -> None:
        self.value, self.open, self._last = 0, {}, 0

    def _look(self) -> None:
        ((lowest, last, running),) = gateway.fetch(self.using, "outbox_low_watermark", labels=self.labels, **self.place)
        if last < self._last:  # the sequence was reset, or more transactions run than can be named
            self._restart()
            return
        # One that was not there the last time began afterwards, and drew its ids after those that were drawn by then.
        self.open = {number: self.open.get(number, self._last) for number in running}
        self._last = last
        self.value = last if lowest is None else min(last, lowest - 1)
