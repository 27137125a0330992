"""The reactor: the stage of the worker that turns changes into deliveries and runs them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.conf import activate_database, get_settings
from pgknowbase.core import gateway
from pgknowbase.reactions.intake import take_events
from pgknowbase.reactions.registry import Reaction, valid_reactions
from pgknowbase.reactions.run import ClaimedDelivery, Outcome, run_delivery

logger = logging.getLogger("pgknowbase.reactions")

EVENTS_PER_BATCH = 500
PRUNE_INTERVAL = 60.0
PRUNE_BATCH = 1000
DAY = 86_400
RECORD_RETRY_SECONDS = 1.0


@dataclass
class ReactorBatch:
    """What one turn did: changed rows taken, runs started, and runs of dead workers that were requeued."""

    events: int = 0
    started: int = 0
    returned: int = 0

    @property
    def idle(self) -> bool:
        return not self.events and not self.started and not self.returned


class Reactor:
    """Turns events into deliveries, and runs those that are due: on the threads of ``pool``, or in the calling thread.

    It claims no more than there are free threads, so that other workers claim the rest.

    Args:
        worker: the heartbeat under which runs are taken; None inside a transaction, which nobody else sees.
        runs: how many threads ``pool`` has; by default ``REACTIONS["CONCURRENCY"]``.
        ended: called with the outcome of each run, from its thread.
    """

    def __init__(
        self,
        using: str,
        *,
        worker: UUID | None,
        pool: ThreadPoolExecutor | None = None,
        runs: int | None = None,
        stopping: threading.Event | None = None,
        ended: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.using = using
        self.worker = worker
        self.pool = pool
        self.runs = runs
        self.reactions: Mapping[str, Reaction] = valid_reactions()
        self._stopping = stopping or threading.Event()
        self._ended = ended or (lambda outcome: None)
        self._held: set[int] = set()
        self._prune_due = 0.0

    def run_once(self) -> ReactorBatch:
        """Take a batch of events, and as many runs as there are free threads."""
        batch, names, held = ReactorBatch(), list(self.reactions), sorted(self._held)
        if not names:
            return batch
        ((events, due, lost),) = gateway.fetch(
            self.using, "reactor_has_work", reactions=names, worker=self.worker, held=held
        )
        if lost:
            # ``held`` are runs of this process: its heartbeat may have timed out, but they are still running.
            batch.returned = gateway.fetch_value(self.using, "delivery_return", worker=self.worker, held=held)
        if events:
            batch.events = take_events(self.using, self.reactions, EVENTS_PER_BATCH)
        if events or due or lost:
            batch.started = self._start(names)
        self._prune()
        return batch

    def _start(self, names: list[str]) -> int:
        free = (self.runs or get_settings().reactions.concurrency) - len(self._held) if self.pool else 1
        if free <= 0:
            return 0
        claimed = [
            ClaimedDelivery(*row)
            for row in gateway.fetch(self.using, "delivery_claim", reactions=names, worker=self.worker, max_runs=free)
        ]
        for delivery in claimed:
            if self.pool is None:
                self._run_here(delivery)
            else:
                self._held.add(delivery.id)
                self.pool.submit(self._run_in_thread, delivery)
        return len(claimed)

    def _run_here(self, claimed: ClaimedDelivery) -> None:
        outcome = run_delivery(claimed, self.reactions[claimed.reaction], self.using)
        if outcome.error and not connections[self.using].in_atomic_block:
            connections.close_all()
        self._record(claimed, outcome)

    def _run_in_thread(self, claimed: ClaimedDelivery) -> None:
        activate_database(self.using)
        try:
            outcome = run_delivery(claimed, self.reactions[claimed.reaction], self.using)
            connections.close_all()  # in whatever state the function has left them
            self._record(claimed, outcome)
        except BaseException:
            logger.exception("the run of %r for %r is lost", claimed.reaction, claimed.object_key)
        finally:
            self._held.discard(claimed.id)
            connections.close_all()

    def _record(self, claimed: ClaimedDelivery, outcome: Outcome) -> None:
        """Record the outcome, and retry while the database fails: the run has happened, and must not happen twice.

        A worker that is stopped gives up; the delivery comes back when its heartbeat has timed out.
        """
        while True:
            try:
                recorded = gateway.fetch_value(
                    self.using,
                    "delivery_record_outcome",
                    delivery=claimed.id,
                    token=claimed.started_at,
                    outcome=outcome.state,
                    reason=outcome.error,
                    delay=outcome.delay,
                )
                if not recorded:
                    logger.warning(
                        "a run of %r for %r was given to another worker", claimed.reaction, claimed.object_key
                    )
                break
            except (DatabaseError, InterfaceError) as error:
                if connections[self.using].in_atomic_block:
                    raise
                logger.warning("a run of %r cannot be recorded yet: %s", claimed.reaction, str(error).strip())
                connections[self.using].close()
                if self._stopping.wait(RECORD_RETRY_SECONDS):
                    return
        if outcome.error:
            logger.warning("%s for %s: %s", claimed.reaction, claimed.object_key, outcome.error.partition("\n")[0])
        self._ended(outcome)

    def _prune(self) -> None:
        if time.monotonic() < self._prune_due:
            return
        keep = get_settings().reactions.retention_days * DAY
        pruned = gateway.fetch_value(self.using, "delivery_prune", keep_seconds=keep, max_rows=PRUNE_BATCH)
        self._prune_due = time.monotonic() + (PRUNE_INTERVAL if pruned < PRUNE_BATCH else 0)
