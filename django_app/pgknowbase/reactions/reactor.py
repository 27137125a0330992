"""The part of the worker that runs reactions."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.reactions.intake import take_events
from pgknowbase.reactions.registry import Reaction, usable
from pgknowbase.reactions.run import Claimed, Outcome, run

logger = logging.getLogger("pgknowbase.reactions")

PRUNE_INTERVAL = 60.0
PRUNE_BATCH = 1000
DAY = 86_400
SETTLE_PAUSE = 1.0


@dataclass
class ReactorBatch:
    """What one turn did: changed rows taken, runs begun, and those of runs that had lost their worker."""

    events: int = 0
    started: int = 0
    returned: int = 0

    @property
    def idle(self) -> bool:
        return not self.events and not self.started and not self.returned


class Reactor:
    """Turns events into deliveries, and runs those that are due: on the threads of ``pool``, or without one at once.

    No more is taken than there are free threads, so that other workers take the rest.

    Args:
        worker: the heartbeat under which runs are taken; None inside a transaction, which nobody else sees.
        ended: told of each run that has ended, from its thread.
    """

    def __init__(
        self,
        using: str,
        *,
        worker: UUID | None,
        pool: ThreadPoolExecutor | None = None,
        stopping: threading.Event | None = None,
        ended: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.using = using
        self.worker = worker
        self.pool = pool
        self.reactions: Mapping[str, Reaction] = usable()
        self._stopping = stopping or threading.Event()
        self._ended = ended or (lambda outcome: None)
        self._held: set[int] = set()
        self._prune_due = 0.0

    def run_once(self) -> ReactorBatch:
        """Take a batch of events, and as many runs as there are free threads."""
        batch, names, held = ReactorBatch(), list(self.reactions), sorted(self._held)
        if not names:
            return batch
        ((events, due, lost),) = gateway.fetch(self.using, gateway.REACTION_WAITING, names, self.worker, held)
        if lost:
            batch.returned = gateway.fetch_value(self.using, gateway.DELIVERY_RETURN, self.worker, held)
        if events:
            batch.events = take_events(self.using, self.reactions, get_settings().worker.relay_batch_size)
        if events or due or lost:
            batch.started = self._start(names)
        self._prune()
        return batch

    def _start(self, names: list[str]) -> int:
        free = get_settings().reactions.concurrency - len(self._held) if self.pool else 1
        if free <= 0:
            return 0
        claimed = [Claimed(*row) for row in gateway.fetch(self.using, gateway.DELIVERY_CLAIM, names, self.worker, free)]
        for one in claimed:
            if self.pool is None:
                self._run_here(one)
            else:
                self._held.add(one.id)
                self.pool.submit(self._run_in_thread, one)
        return len(claimed)

    def _run_here(self, claimed: Claimed) -> None:
        outcome = run(claimed, self.reactions[claimed.reaction], self.using)
        if outcome.error and not connections[self.using].in_atomic_block:
            connections.close_all()
        self._settle(claimed, outcome)

    def _run_in_thread(self, claimed: Claimed) -> None:
        try:
            outcome = run(claimed, self.reactions[claimed.reaction], self.using)
            connections.close_all()  # in whatever state the function has left them
            self._settle(claimed, outcome)
        except BaseException:
            logger.exception("the run of %r for %r is lost", claimed.reaction, claimed.object_key)
        finally:
            self._held.discard(claimed.id)
            connections.close_all()

    def _settle(self, claimed: Claimed, outcome: Outcome) -> None:
        """Record the outcome, however often the database has to be asked; a worker that is told to stop gives up."""
        while True:
            try:
                values = claimed.id, claimed.started_at, outcome.state, outcome.error, outcome.delay
                if not gateway.fetch_value(self.using, gateway.DELIVERY_SETTLE, *values):
                    logger.warning("a run of %r for %r was given away", claimed.reaction, claimed.object_key)
                break
            except (DatabaseError, InterfaceError) as error:
                if connections[self.using].in_atomic_block:
                    raise
                logger.warning("a run of %r cannot be settled yet: %s", claimed.reaction, str(error).strip())
                connections[self.using].close()
                if self._stopping.wait(SETTLE_PAUSE):
                    return
        if outcome.error:
            logger.warning("%s for %s: %s", claimed.reaction, claimed.object_key, outcome.error.partition("\n")[0])
        self._ended(outcome)

    def _prune(self) -> None:
        if time.monotonic() < self._prune_due:
            return
        keep = get_settings().reactions.keep_days * DAY
        pruned = gateway.fetch_value(self.using, gateway.DELIVERY_PRUNE, keep, PRUNE_BATCH)
        self._prune_due = time.monotonic() + (PRUNE_INTERVAL if pruned < PRUNE_BATCH else 0)
