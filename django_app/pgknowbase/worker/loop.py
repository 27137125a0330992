"""The worker: its stages run side by side, each on a thread and a database connection of its own.

relay -> documents -> keywords and vectorizer; reactions read the same changes; other embedding spaces are filled in the
background. The database is the only queue between the stages: an event tells a stage that it may have work, and a stage
that hears of none looks again after its poll interval.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections, transaction

from pgknowbase.conf import activate_database, get_settings, use_database
from pgknowbase.core import gateway
from pgknowbase.core.backoff import exponential_backoff
from pgknowbase.core.database_errors import is_of_cluster
from pgknowbase.core.server_limits import PortionSize, can_go_smaller, exceeded_limit
from pgknowbase.core.telemetry import span
from pgknowbase.costs.ledger import UsageFold
from pgknowbase.models import EmbeddingSpace, WorkerHeartbeat
from pgknowbase.reactions.reactor import Reactor
from pgknowbase.reactions.registry import valid_reactions
from pgknowbase.reactions.run import Outcome
from pgknowbase.relay.relay import RELAY_BATCH_SIZE, Relay
from pgknowbase.relay.writing import SyncReport
from pgknowbase.spaces.keeper import IndexKeeper
from pgknowbase.vectorizer.executor import Executor, ExecutorBatch
from pgknowbase.vectorizer.runners import ActiveSpaceRunner, BackgroundSpaceRunner
from pgknowbase.worker.heartbeat import Figures, Heartbeat
from pgknowbase.worker.threads import allot_connections

logger = logging.getLogger("pgknowbase.worker")

# Of a relay that shares its thread with other stages. One with a thread of its own waits at the server, which can look
# more often for less: a moment at first, and longer while nothing comes. A worker that is stopped waits for its end.
POLL_SECONDS = 0.05
MAX_RELAY_WAIT = 1.0
# These stages are woken by the relay of the same worker, so they look less often for what other processes have queued:
# the longer they find nothing, the less often.
WOKEN_POLL_SECONDS = 3 * POLL_SECONDS
IDLE_POLL_SECONDS = 1.0
# Nobody waits for what is left to find here: each worker makes the words of what its own relay has taken, and a space
# that is filled is not searched yet.
UNHURRIED_POLL_SECONDS = 2 * IDLE_POLL_SECONDS
REACTION_POLL_SECONDS = 2 * POLL_SECONDS
BACKGROUND_POLL_SECONDS = 0.2
# Small, because the active space waits for the end of a batch in the background where both use one provider.
BACKGROUND_BATCH_SIZE = 50
COMPLETION_INTERVAL = 1.0
IDLE_COMPLETION_INTERVAL = 5.0
MAX_DATABASE_PAUSE = 30.0
# The same while a server of a Citus cluster does not answer.
CLUSTER_PAUSE = 2.0
# Searches score the documents that stand in no block of postings one by one, some microseconds each. While more
# documents wait for their words, or the relay has many rows to do, blocks are made large at once: putting one into a
# larger one is work done twice.
GATHERED_WHEN_IDLE = 512
GATHERED_WHEN_BUSY = 8000
# The words of so many documents are merged into their index once no others wait: until then each search for a new word
# or another spelling reads them all. Merging a few by themselves takes longer for each.
MERGED_WHEN_IDLE = 100
# Without threads, where documents wait for the rate of a provider: fresh ones may come meanwhile.
MAX_RATE_PAUSE = 1.0
STAGES = ("relay", "vectorizer", "keywords", "reactions", "background")


@dataclass
class WorkerTotals:
    """What a worker did since it started.

    ``events``: changed rows. ``rows``: rendered rows by outcome. ``documents``, ``embedded``: documents written, texts
    that got a new vector. ``retried``, ``failed``: documents that the provider may embed later, or refused.
    ``reactions``: runs by outcome.
    """

    events: int = 0
    rows: Counter[str] = field(default_factory=lambda: Counter(SyncReport().counts))
    documents: int = 0
    embedded: int = 0
    retried: int = 0
    failed: int = 0
    reactions: Counter[str] = field(default_factory=Counter)

    @property
    def figures(self) -> Figures:
        """What the heartbeat shows: events, documents and failures."""
        failures = self.failed + self.rows["failed"] + self.reactions["retry"] + self.reactions["dead"]
        return self.events, self.documents, failures


@dataclass(frozen=True)
class Stage:
    """One part of the worker. ``run_once`` does a batch of work, and returns whether it found none.

    While it finds none, it looks after ``poll_seconds``, then after twice as many and so on, up to ``idle_seconds``;
    0: always after ``poll_seconds``. They count from the start of the last look, which may be a wait for work.
    """

    name: str
    run_once: Callable[[], bool]
    poll_seconds: float
    idle_seconds: float = 0.0

    def pause(self, idle_looks: int) -> float:
        """Seconds until the next look, after so many that have found nothing."""
        return max(self.poll_seconds, min(self.idle_seconds, self.poll_seconds * 2.0 ** min(idle_looks - 1, 8)))


class CompletionSweep:
    """Marks objects as completed whose chunks other workers have written, such as pgai's, which do not do it.

    At most once a second, every five seconds while it finds none, and at most 10 % of the worker's time.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self._due = 0.0

    def run(self) -> int:
        """Mark them now; returns how many."""
        started = time.monotonic()
        completed: int = gateway.fetch_value(self.using, "mark_completed")
        ended = time.monotonic()
        interval = COMPLETION_INTERVAL if completed else IDLE_COMPLETION_INTERVAL
        self._due = ended + max(interval, 10 * (ended - started))
        return completed

    def run_if_due(self) -> int:
        """As ``run``, unless the last sweep was too recent."""
        return self.run() if time.monotonic() >= self._due else 0


class Worker:
    """Runs its stages until ``stop`` is called (``run``), or until no work is due (``run_until_idle``).

    ``stop`` lets each stage finish its batch. What a killed worker was doing is done by the next one: events are
    deleted in the transaction that used them, and leases of a worker without a heartbeat are released.

    Args:
        using: the alias of the database, by default ``DATABASE``.
        batch_size: outbox events of one transaction.
        concurrency: provider calls at the same time, by default ``WORKER["CONCURRENCY"]``.
        relay_only: leave embedding to other workers, such as pgai's.
        progress: called with the totals after each batch, from the thread of its stage.

    >>> Worker().run_until_idle().documents
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
        self.using = using or get_settings().database
        self.batch_size = batch_size or RELAY_BATCH_SIZE
        self.concurrency = concurrency
        self.relay_only = relay_only
        self.progress = progress or (lambda totals: None)
        self.totals = WorkerTotals()
        self._totals_lock = threading.Lock()
        self._keywords_size = PortionSize(self.batch_size)
        self._ungathered = GATHERED_WHEN_BUSY  # a worker before this one may have left some
        self._unmerged = 0
        self._is_loading = False  # the relay's last batch was a large one
        self._completion = CompletionSweep(self.using)
        self._usage = UsageFold(self.using)
        self._indexes: IndexKeeper | None = None
        self._stopping = threading.Event()
        self._wake = {name: threading.Event() for name in STAGES}
        self._shares_thread: set[str] = set()
        self._active_space_idle = threading.Event()
        self._rate_wait = 0.0
        self._relay_wait = POLL_SECONDS
        self._failure: BaseException | None = None

    # The main loops

    def run(self) -> WorkerTotals:
        """Work until ``stop``. Errors of the database are waited out.

        Raises:
            PgKnowbaseError: the settings and the active space do not agree, at start.
        """
        with use_database(self.using):
            return self._run()

    def _run(self) -> WorkerTotals:
        try:
            allotment = allot_connections(self._stage_names(), self._reaction_runs(), self.using)
            self._shares_thread = {name for shared in allotment.stages if len(shared) > 1 for name in shared}
            with self._heartbeat() as heartbeat, self._stages(heartbeat.worker, runs=allotment.runs) as stages:
                self._indexes = IndexKeeper(self.using, heartbeat.worker, has_connection=allotment.has_spare)
                self._run_threads(stages, allotment.stages)
        finally:
            if self._indexes is not None:
                self._indexes.stop()
            connections[self.using].close()
        if self._failure is not None:
            raise self._failure
        return self.totals

    def run_until_idle(self) -> WorkerTotals:
        """Work in this thread until outbox and queues hold nothing that is due; for ``--once`` and tests."""
        if connections[self.using].in_atomic_block:
            # Nobody else sees what this transaction writes, so a heartbeat would guard nothing.
            with use_database(self.using):
                self._drain(None)
        else:
            allot_connections(STAGES[:1], 0, self.using)  # all stages take turns in this thread
            with use_database(self.using), self._heartbeat() as heartbeat:
                self._drain(heartbeat.worker)
        return self.totals

    def stop(self) -> None:
        """Ask for the end after the current batches. Safe in a signal handler."""
        self._stopping.set()
        self._active_space_idle.set()
        for event in self._wake.values():
            event.set()

    def _run_threads(self, stages: list[Stage], names: list[list[str]]) -> None:
        by_name = {stage.name: stage for stage in stages}
        threads = []
        for shared in names:
            # One event wakes the thread, whichever of its stages is meant.
            self._wake.update(dict.fromkeys(shared, threading.Event()))
            chosen = [by_name[name] for name in shared]
            threads.append(threading.Thread(target=self._run_stages, args=(chosen,), name=f"pgknowbase-{shared[0]}"))
        connections[self.using].close()  # this thread only waits
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # with a timeout, or no signal would reach this thread
        finally:
            self.stop()

    def _run_stages(self, stages: list[Stage]) -> None:
        """The stages of one thread, in turn."""
        activate_database(self.using)  # what hooks and functions ask for by DATABASE is that of this worker
        wake, failures = self._wake[stages[0].name], Counter[str]()
        idle_looks = 0
        try:
            while not self._stopping.is_set():
                # Cleared before the batches: work that is announced during them must not be slept over.
                wake.clear()
                idle, began = True, time.monotonic()
                for stage in stages:
                    try:
                        idle, failures[stage.name] = self._run_batch(stage) and idle, 0
                    except (DatabaseError, InterfaceError) as error:
                        failures[stage.name] += 1
                        self._wait_for_database(stage, error, failures[stage.name])
                        idle = False
                idle_looks = idle_looks + 1 if idle else 0
                pause = _jittered(min(stage.pause(idle_looks) for stage in stages))
                if idle and wake.wait(max(0.0, began + pause - time.monotonic())):
                    idle_looks = 0
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._failure = error
            self.stop()
        finally:
            connections.close_all()

    def _run_batch(self, stage: Stage) -> bool:
        idle = stage.run_once()
        if not idle:
            self.progress(self.totals)
        return idle

    def _wait_for_database(self, stage: Stage, error: Exception, failures: int) -> None:
        pause = exponential_backoff(failures, delay=2 * POLL_SECONDS, max_delay=MAX_DATABASE_PAUSE)
        reason = str(error).strip()
        if is_of_cluster(error):
            # Of a lease nobody hears that its write will fail, so looks that find nothing count as successes.
            pause, reason = max(pause, CLUSTER_PAUSE), reason.partition("\n")[0]
        logger.warning("%s: %s; next attempt in %.1f s", stage.name, reason, pause)
        connections.close_all()
        self._stopping.wait(_jittered(pause))

    def _drain(self, worker: UUID | None) -> None:
        with self._stages(worker) as stages:
            foreground = [stage for stage in stages if stage.name != "background"]
            background = [stage for stage in stages if stage.name == "background"]
            while not self._stopping.is_set():
                # Each stage has a turn, whatever the others found, because it may make work for them.
                self._rate_wait = 0.0
                idle = [self._run_batch(stage) for stage in foreground]
                if not all(idle) or not all(self._run_batch(stage) for stage in background):
                    continue
                if not self._rate_wait:
                    break
                self._stopping.wait(min(self._rate_wait, MAX_RATE_PAUSE))
            self._completion.run()
            if worker is not None:
                IndexKeeper(self.using, worker).finish()

    # What the stages are

    def _heartbeat(self) -> Heartbeat:
        role = WorkerHeartbeat.Role.RELAY if self.relay_only else WorkerHeartbeat.Role.BOTH
        return Heartbeat(self.using, role, lambda: self.totals.figures)

    @contextmanager
    def _stages(self, worker: UUID | None, *, runs: int | None = None) -> Iterator[list[Stage]]:
        with ExitStack() as stack:
            relay = Relay(self.using, batch_size=self.batch_size)
            waits = runs is not None and "relay" not in self._shares_thread
            stages = [Stage("relay", partial(self._run_relay, relay, waits=waits), POLL_SECONDS)]
            if not self.relay_only:
                active = stack.enter_context(ActiveSpaceRunner(self.using, partial(self._executor, worker)))
                stages.append(
                    Stage("vectorizer", partial(self._run_vectorizer, active), WOKEN_POLL_SECONDS, IDLE_POLL_SECONDS)
                )
            stages.append(Stage("keywords", self._run_keywords, WOKEN_POLL_SECONDS, UNHURRIED_POLL_SECONDS))
            if runs is None or "reactions" in self._stage_names():
                reactor = self._reactor(worker, stack, runs or 0)
                stages.append(Stage("reactions", lambda: reactor.run_once().idle, REACTION_POLL_SECONDS))
            if not self.relay_only:
                others = stack.enter_context(BackgroundSpaceRunner(self.using, self._background_executor))
                run_background = partial(self._run_background, others)
                stages.append(Stage("background", run_background, BACKGROUND_POLL_SECONDS, UNHURRIED_POLL_SECONDS))
            yield stages

    def _executor(self, worker: UUID | None, space: EmbeddingSpace | None) -> Executor:
        return Executor(self.using, concurrency=self.concurrency, worker=worker, space=space)

    def _background_executor(self, space: EmbeddingSpace) -> Executor:
        # A worker's heartbeat row has room for one lease, which is the active space's. These leases are short instead.
        return Executor(self.using, batch_size=BACKGROUND_BATCH_SIZE, concurrency=self.concurrency, space=space)

    def _stage_names(self) -> list[str]:
        left_out = {"vectorizer", "background"} if self.relay_only else set()
        if not self._reaction_runs():
            left_out.add("reactions")
        return [name for name in STAGES if name not in left_out]

    def _reaction_runs(self) -> int:
        """Concurrent runs of reactions; 0 without any, or where other workers run them."""
        return get_settings().reactions.concurrency if valid_reactions() else 0

    def _reactor(self, worker: UUID | None, stack: ExitStack, runs: int) -> Reactor:
        """Without ``runs``, one that runs reactions itself. The stack waits for the runs that have started."""
        pool = stack.enter_context(ThreadPoolExecutor(runs, thread_name_prefix="pgknowbase-reaction")) if runs else None
        return Reactor(
            self.using, worker=worker, pool=pool, runs=runs, stopping=self._stopping, ended=self._on_reaction_ended
        )

    # One batch of each stage

    def _run_relay(self, relay: Relay, *, waits: bool = False) -> bool:
        if self.relay_only:
            self._completion.run_if_due()
        batch = relay.run_once(wait=self._relay_wait if waits else 0.0)
        self._is_loading = 2 * sum(batch.report.counts.values()) >= self.batch_size
        if batch.idle:
            self._relay_wait = min(2 * self._relay_wait, MAX_RELAY_WAIT)
            return True
        self._relay_wait = POLL_SECONDS
        self.totals.events += batch.events
        self.totals.rows.update(batch.report.counts)
        self._wake["keywords"].set()
        self._wake["vectorizer"].set()
        return False

    def _run_keywords(self) -> bool:
        if self._indexes is not None:
            self._indexes.run_if_due()  # in this stage, because every worker has it
        size, started = self._keywords_size, time.time_ns()
        try:
            with transaction.atomic(using=self.using) if size.value == 1 else nullcontext():
                if size.value == 1:
                    # One document is bounded work, and nobody can make it less.
                    gateway.fetch(self.using, "set_statement_timeout", timeout="0")
                done = gateway.fetch_value(self.using, "keywords_refresh", max_documents=size.value)
        except (DatabaseError, InterfaceError) as error:
            if size.value == 1 or not can_go_smaller(error, self.using):
                raise
            size.exceeded()
            return False
        if done:
            size.succeeded()
            with span("pgknowbase.keywords", {"pgknowbase.documents.refreshed": done}, started=started):
                pass
        self._ungathered += done
        self._unmerged += done
        at_least = GATHERED_WHEN_BUSY if self._is_loading or done == size.value else GATHERED_WHEN_IDLE
        if self._ungathered >= at_least:
            self._ungathered = at_least if self._gather(at_least) else 0
            return False
        if not done and not self._is_loading and self._unmerged >= MERGED_WHEN_IDLE:
            self._unmerged = 0
            self._merge()
        return not done

    def _gather(self, at_least: int) -> bool:
        """Put documents into a block of postings; whether there were enough."""
        with self._unhurried("documents are not put into a block"):
            return bool(gateway.fetch_value(self.using, "postings_gather", at_least=at_least))
        return False

    def _merge(self) -> None:
        """Merge what was written lately into the index of words."""
        with self._unhurried("what was written lately is not merged into the index of words"):
            gateway.fetch(self.using, "keywords_merge")

    @contextmanager
    def _unhurried(self, otherwise: str) -> Iterator[None]:
        """For bounded work that nobody can make less: without the limit on the time of a statement.

        What another limit ends is left, as ``otherwise`` says. Searches are slower without, and the next documents
        bring the next attempt.
        """
        try:
            with transaction.atomic(using=self.using):
                gateway.fetch(self.using, "set_statement_timeout", timeout="0")
                yield
        except DatabaseError as error:
            if exceeded_limit(error) is None:
                raise
            logger.warning("keywords: %s: %s", otherwise, str(error).strip())

    def _run_vectorizer(self, runner: ActiveSpaceRunner | Executor) -> bool:
        self._active_space_idle.clear()
        batch = runner.run_once()
        if batch.idle:
            self._active_space_idle.set()
            self._completion.run_if_due()
        return self._count(batch)

    def _run_background(self, runner: BackgroundSpaceRunner) -> bool:
        """A batch of another space, unless documents wait for the active one."""
        # Where both share a thread, waiting would only delay the vectorizer.
        self._usage.run_if_due()
        idle = self._active_space_idle.wait(0 if "background" in self._shares_thread else IDLE_POLL_SECONDS)
        return not idle or self._stopping.is_set() or self._count(runner.run_once())

    def _count(self, batch: ExecutorBatch) -> bool:
        with self._totals_lock:
            self.totals.documents += batch.written
            self.totals.embedded += batch.embedded
            self.totals.retried += batch.retried
            self.totals.failed += batch.failed
            self._rate_wait = max(self._rate_wait, batch.rate_wait)
        return batch.idle

    def _on_reaction_ended(self, outcome: Outcome) -> None:
        with self._totals_lock:
            self.totals.reactions[outcome.state] += 1
        self._wake["reactions"].set()  # a thread is free


def _jittered(seconds: float) -> float:
    """``seconds`` give or take a fifth, so that several workers do not look at the same moment."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
