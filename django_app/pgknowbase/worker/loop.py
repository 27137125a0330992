"""The worker's loop: relay, executor, keywords and reactions side by side, each on a thread and a connection."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.models import EmbeddingSpace, WorkerHeartbeat
from pgknowbase.reactions.reactor import Reactor
from pgknowbase.reactions.registry import usable
from pgknowbase.reactions.run import Outcome
from pgknowbase.relay.relay import Relay
from pgknowbase.relay.sync import SyncReport
from pgknowbase.vectorizer.executor import Executor, ExecutorBatch
from pgknowbase.vectorizer.fleet import Filling, Serving
from pgknowbase.worker.heartbeat import Figures, Heartbeat

logger = logging.getLogger("pgknowbase.worker")

LONGEST_PAUSE = 30.0
FILLING_INTERVAL = 0.2
FILLING_BATCH = 50
SETTLE_INTERVAL = 1.0
EXECUTOR_PATIENCE = 5  # its own relay wakes the executor, so it looks less often for what others have queued
REACTOR_PATIENCE = 3


@dataclass
class WorkerTotals:
    """What a worker did since it started; ``rows`` and ``reactions`` (runs) count by what became of them."""

    events: int = 0
    rows: Counter[str] = field(default_factory=lambda: Counter(SyncReport().counts))
    documents: int = 0
    embedded: int = 0
    again: int = 0
    failed: int = 0
    reactions: Counter[str] = field(default_factory=Counter)

    @property
    def figures(self) -> Figures:
        """What the heartbeat tells: events, documents and failures."""
        return (
            self.events,
            self.documents,
            self.failed + self.rows["failed"] + self.reactions["again"] + self.reactions["dead"],
        )


class Settler:
    """Takes note of what other workers, such as pgai's, have embedded: now and then, never a tenth of the time."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._due = 0.0

    def settle(self) -> int:
        """Mark those objects as searchable now; returns how many."""
        started = time.monotonic()
        settled: int = gateway.fetch_value(self.using, gateway.SETTLE)
        ended = time.monotonic()
        self._due = ended + max(SETTLE_INTERVAL, 10 * (ended - started))
        return settled

    def settle_if_due(self) -> int:
        """As ``settle``, unless the last time is less than a second ago."""
        return self.settle() if time.monotonic() >= self._due else 0


class _Batch(Protocol):
    @property
    def idle(self) -> bool: ...


class Worker:
    """Runs relay and executor until ``stop`` is called, or until there is nothing left to do.

    ``stop`` lets both finish the batch they are at. Whatever a killed worker was at is done by the next one.
    """

    def __init__(
        self,
        using: str | None = None,
        *,
        batch_size: int | None = None,
        concurrency: int | None = None,
        relay_only: bool = False,
        progress: Callable[[WorkerTotals], None] | None = None,
    ) -> None:
        settings = get_settings()
        self.using = using or settings.database
        self.interval = settings.worker.poll_interval
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.relay_only = relay_only
        self.progress = progress or (lambda totals: None)
        self.totals = WorkerTotals()
        self._settler = Settler(self.using)
        self._stopping = threading.Event()
        self._queued = threading.Event()  # the relay has just written documents
        self._written = threading.Event()  # the same, for their words
        self._reacted = threading.Event()  # a reaction has ended, so its thread is free
        self._counting = threading.Lock()
        self._free = threading.Event()  # nothing waits for the active space
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Ask for the end after the current batches."""
        self._stopping.set()
        self._queued.set()
        self._written.set()
        self._reacted.set()
        self._free.set()

    def run_until_idle(self) -> WorkerTotals:
        """Work until outbox and queue hold nothing that is due; for ``--once`` and tests. Runs in this thread."""
        # Inside somebody's transaction nobody sees a heartbeat, nor the leases.
        if connections[self.using].in_atomic_block:
            self._drain(None)
        else:
            with self._heartbeat() as heart:
                self._drain(heart.worker)
        return self.totals

    def _drain(self, worker: UUID | None) -> None:
        relay = Relay(self.using, batch_size=self.batch_size)
        reactor = Reactor(self.using, worker=worker, stopping=self._stopping, ended=self._reaction_ended)
        with self._executors(worker) as (serving, filling):
            while not self._stopping.is_set():
                idle = self._relay(relay)
                if serving is not None:
                    idle = self._execute(serving) and idle
                idle = self._words() and idle
                idle = reactor.run_once().idle and idle
                if idle and (filling is None or self._fill(filling)):
                    break
            self._settler.settle()

    def run(self) -> WorkerTotals:
        """Work until ``stop``. Errors of the database are waited out.

        Raises:
            PgKnowbaseError: the settings and the active space do not agree, at start.
        """
        try:
            self._run()
        finally:
            connections[self.using].close()
        if self._failure is not None:
            raise self._failure
        return self.totals

    def _run(self) -> None:
        relay = Relay(self.using, batch_size=self.batch_size)
        with (
            self._heartbeat() as heart,
            self._executors(heart.worker) as (serving, filling),
            self._reactor(heart.worker) as reactor,
        ):
            pause = EXECUTOR_PATIENCE * self.interval
            turns = [
                ("relay", lambda: self._relay(relay), self._stopping, self.interval),
                ("keywords", self._words, self._written, pause),
            ]
            if serving is not None:
                turns.append(("vectorizer", lambda: self._execute(serving), self._queued, pause))
            if filling is not None:
                turns.append(("filling", lambda: self._fill_when_free(filling), self._stopping, FILLING_INTERVAL))
            if reactor is not None:
                patience = REACTOR_PATIENCE * self.interval
                turns.append(("reactions", lambda: reactor.run_once().idle, self._reacted, patience))
            threads = [threading.Thread(target=self._loop, args=turn, name=f"pgknowbase-{turn[0]}") for turn in turns]
            connections[self.using].close()  # this thread only waits
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.5)
            finally:
                self.stop()

    def _heartbeat(self) -> Heartbeat:
        role = WorkerHeartbeat.Role.RELAY if self.relay_only else WorkerHeartbeat.Role.BOTH
        return Heartbeat(self.using, role, lambda: self.totals.figures)

    @contextmanager
    def _executors(self, worker: UUID | None) -> Iterator[tuple[Serving | None, Filling | None]]:
        if self.relay_only:
            yield None, None
            return

        def serve(space: EmbeddingSpace | None) -> Executor:
            return Executor(self.using, concurrency=self.concurrency, worker=worker, space=space)

        def fill(space: EmbeddingSpace) -> Executor:
            # A worker's row has room for one lease, so these go without: theirs are short.
            return Executor(self.using, batch_size=FILLING_BATCH, concurrency=self.concurrency, space=space)

        with Serving(self.using, serve) as serving, Filling(self.using, fill) as filling:
            yield serving, filling

    @contextmanager
    def _reactor(self, worker: UUID) -> Iterator[Reactor | None]:
        """None without reactions, or where other workers run them. Waits at the end for the runs that it has begun."""
        most = get_settings().reactions.concurrency
        if not most or not usable():
            yield None
            return
        with ThreadPoolExecutor(most, thread_name_prefix="pgknowbase-reaction") as pool:
            yield Reactor(self.using, worker=worker, pool=pool, stopping=self._stopping, ended=self._reaction_ended)

    def _reaction_ended(self, outcome: Outcome) -> None:
        with self._counting:
            self.totals.reactions[outcome.state] += 1
        self._reacted.set()

    def _loop(self, name: str, turn: Callable[[], bool], wake: threading.Event, interval: float) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                if wake is not self._stopping:
                    wake.clear()
                try:
                    idle, failures = turn(), 0
                except (DatabaseError, InterfaceError) as error:
                    failures += 1
                    pause = min(LONGEST_PAUSE, self.interval * 2 ** min(failures, 16))
                    logger.warning("%s: %s; trying again in %.1f s", name, str(error).strip(), pause)
                    connections.close_all()
                    self._pause(pause, self._stopping)
                    continue
                if idle:
                    self._pause(interval, wake)
        except BaseException as error:  # noqa: BLE001 - carried over to the main thread, which raises it
            self._failure = error
            self.stop()
        finally:
            connections.close_all()

    def _pause(self, seconds: float, wake: threading.Event) -> None:
        wake.wait(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    def _words(self) -> bool:
        size = self.batch_size or get_settings().worker.relay_batch_size
        return not gateway.fetch_value(self.using, gateway.KEYWORDS_REFRESH, size)

    def _relay(self, relay: Relay) -> bool:
        if self.relay_only:
            self._settler.settle_if_due()
        batch = relay.run_once()
        self.totals.events += batch.events
        self.totals.rows.update(batch.report.counts)
        if not batch.idle:
            self._queued.set()
            self._written.set()
        return self._told(batch)

    def _execute(self, serving: Serving) -> bool:
        self._free.clear()
        batch = serving.run_once()
        if batch.idle:
            self._free.set()
            self._settler.settle_if_due()
        return self._counted(batch)

    def _fill_when_free(self, filling: Filling) -> bool:
        """As ``_fill``, unless something waits for the active space."""
        free = self._free.wait(FILLING_INTERVAL)
        return not free or self._stopping.is_set() or self._fill(filling)

    def _fill(self, filling: Filling) -> bool:
        return self._counted(filling.run_once())

    def _counted(self, batch: ExecutorBatch) -> bool:
        with self._counting:
            self.totals.documents += batch.written
            self.totals.embedded += batch.embedded
            self.totals.again += batch.again
            self.totals.failed += batch.failed
        return self._told(batch)

    def _told(self, batch: _Batch) -> bool:
        if not batch.idle:
            self.progress(self.totals)
        return batch.idle
