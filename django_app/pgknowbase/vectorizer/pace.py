"""The pace at which an executor asks its provider: full batches, a pause after trouble, then from one document up."""

import random
import time


class Pace:
    """When the next batch may be leased, and how many documents it may have.

    A provider that is down or refuses for a while is left alone, and then asked with one document; while that goes
    well the batches double. So an outage costs few calls, and a batch that always fails is cut down to its culprit.
    """

    def __init__(self, batch_size: int, *, delay: float, longest: float) -> None:
        self.batch_size = batch_size
        self.size = batch_size
        self._delay = delay
        self._longest = longest
        self._failures = 0
        self._until = 0.0

    @property
    def paused(self) -> bool:
        """Whether the provider is to be left alone for now."""
        return time.monotonic() < self._until

    def good(self) -> None:
        """The provider has answered."""
        self._failures = 0
        self.size = min(self.batch_size, 2 * self.size)

    def bad(self, wish: float | None) -> float:
        """It has answered nothing of a batch; returns the seconds to pause. ``wish`` is its own Retry-After."""
        self._failures += 1
        self.size = 1
        return self.pause(wish or self._delay * 2 ** min(self._failures - 1, 30) * random.uniform(0.8, 1.0))  # noqa: S311

    def pause(self, seconds: float) -> float:
        """Leave the provider alone for so long, or for the longest pause allowed; never earlier than asked."""
        seconds = min(seconds, self._longest) * random.uniform(1.0, 1.1)  # noqa: S311
        self._until = max(self._until, time.monotonic() + seconds)
        return seconds
