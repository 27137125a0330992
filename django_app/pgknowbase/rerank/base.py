"""The interface of rerankers, and how long one may take."""

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from pgknowbase.errors import LateRerankError, RerankError


@dataclass(frozen=True, slots=True)
class Scores:
    """What a reranker says of n texts: n ``scores``, in their order, higher for what answers better.

    ``total_tokens``: what the provider bills for all of them together, or None.
    """

    scores: Sequence[float]
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a call may run: ``time`` as ``time.monotonic()`` tells it, and whether anybody still waits."""

    time: float
    given_up: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """In so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        """Until it; 0 once it is over."""
        return max(self.time - time.monotonic(), 0.0)

    def check(self) -> None:
        """Stop work that nobody waits for.

        Raises:
            LateRerankError: the time is over, or nobody waits any more.
        """
        if self.given_up.is_set() or not self.seconds_left:
            raise LateRerankError("The second stage took longer than its TIMEOUT: raise it, or lower CANDIDATES.")


class Reranker(ABC):
    """A model that reads a query and a text together. Instances are safe to share between threads.

    Scores of one query can be compared with each other, from call to call; those of two queries need not. Errors are
    ``RerankError``, after which a search keeps the order of its first stage. Wrong settings are a
    ``ConfigurationError``, when the backend is built or at its first use.

    >>> reranker = get_reranker("default")
    >>> reranker.score("how do I mend a tyre", ["Mending tyres", "Baking bread"], Deadline.after(1)).scores
    [0.97, 0.02]
    """

    model: str
    provider: str = ""
    """Who scores: the host of a server, '' for this process."""

    max_texts: int = 32
    """Of one call."""

    @property
    def fingerprint(self) -> str:
        """What decides a score besides query and text: equal fingerprints, equal scores."""
        return repr((f"{type(self).__module__}.{type(self).__qualname__}", self.model))

    def verify(self) -> None:  # noqa: B027 - most backends need nothing beyond what their constructor sees
        """Check that this machine has what a call needs, such as an API key. Makes no request.

        Raises:
            ConfigurationError: something is missing; the message says what to do.
        """

    @abstractmethod
    def score(self, query: str, texts: Sequence[str], deadline: Deadline) -> Scores:
        """Score up to ``max_texts`` texts.

        Raises:
            LateRerankError: it could not within the time.
            RerankError: it could not.
        """


def check_scores(scores: Sequence[float], *, count: int, server: str) -> None:
    """Refuse scores that no order can be made of.

    Raises:
        RerankError: there are more or fewer than texts, or one is not finite.
    """
    if len(scores) != count:
        raise RerankError(f"{server!r} gave {len(scores)} scores for {count} texts: check which model answers there.")
    for place, score in enumerate(scores):
        if not math.isfinite(score):
            raise RerankError(f"{server!r} gave the score {score!r} to text {place}: check which model answers there.")
