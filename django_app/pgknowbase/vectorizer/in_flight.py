"""Texts that are with a provider at this moment, so that two workers that meet one at once pay for it once.

An executor says by one statement what it is about to send, and hears what others have sent and not yet stored. Its
documents with such a text wait until it is stored, and take the vector from there. What a worker that has died had in
flight is forgotten with its heartbeat; an executor without one holds others up for as long as its entry lasts.
"""

import time
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID, uuid4

from pgknowbase.core import gateway
from pgknowbase.embeddings.base import Embedder

# A batch of many calls lasts longer, and its texts may be paid twice then.
ENTRY_SECONDS = 120.0
# How long an executor waits for the texts of others before it gives their documents back.
MAX_WAIT = 2.0
LOOK_INTERVAL = 0.03


class InFlight:
    """The texts that one executor has with its provider.

    Args:
        worker: the id of the heartbeat of its worker; None: it has none.

    >>> in_flight = InFlight("default")
    >>> of_others = in_flight.enter(embedder, texts, fingerprint="...")
    >>> in_flight.leave()
    """

    def __init__(self, using: str, worker: UUID | None = None) -> None:
        self.using = using
        self.worker = worker
        self._executor = uuid4()
        self._has_entered = False
        self._of_others: list[int] = []

    def enter(self, embedder: Embedder, texts: Iterable[str], *, fingerprint: str) -> set[str]:
        """Say that these are about to be sent; returns those that others have sent, which this one must not send.

        None of a model that runs in this process: it costs nothing but time.
        """
        by_key = {_key(fingerprint, text): text for text in texts}
        if not embedder.provider or not by_key:
            return set()
        self._of_others = gateway.fetch_value(
            self.using,
            "in_flight_enter",
            executor=self._executor,
            keys=list(by_key),
            seconds=ENTRY_SECONDS,
            worker=self.worker,
        )
        self._has_entered = True
        return {by_key[key] for key in self._of_others}

    def leave(self) -> None:
        """Say that nothing is with the provider any more: what came back is stored."""
        if self._has_entered:
            gateway.fetch(self.using, "in_flight_leave", executor=self._executor)
            self._has_entered = False

    def wait_for_others(self) -> None:
        """Wait until none of the texts that ``enter`` returned is in flight any more, for two seconds at most."""
        ends_at = time.monotonic() + MAX_WAIT
        while time.monotonic() < ends_at and gateway.fetch_value(self.using, "in_flight", keys=self._of_others):
            time.sleep(LOOK_INTERVAL)


def _key(fingerprint: str, text: str) -> int:
    """8 bytes of the hash. Two texts with one key would wait for each other, once."""
    return int.from_bytes(sha256(f"{fingerprint}\0{text}".encode()).digest()[:8], "big", signed=True)
