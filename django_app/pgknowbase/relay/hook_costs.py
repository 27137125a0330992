"""What the hooks of source models cost, in seconds and statements: measured, warned about, kept per model."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction

from pgknowbase.core import gateway
from pgknowbase.core.transactions import is_aborted

logger = logging.getLogger("pgknowbase.relay")

# Seconds between two writes of one process for one model, so that writers of other processes rarely meet a locked row.
WRITE_INTERVAL = 5.0
# In a batch of fewer rows, one statement per batch looks like one statement per row.
MIN_ROWS = 5
LOADING = "get_external_queryset"


@dataclass
class HookCosts:
    """Seconds and statements by hook, of ``rows`` rendered rows of one source model, and what hooks read unwatched.

    ``unwatched``: (hook, what it read) pairs, as ``hook_reads.HookReads`` has them.
    """

    rows: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    statements: Counter[str] = field(default_factory=Counter)
    unwatched: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "HookCosts") -> None:
        """Add the figures of ``other`` to these."""
        self.rows += other.rows
        for hook, seconds in other.seconds.items():
            self.seconds[hook] += seconds
        self.statements.update(other.statements)
        self.unwatched |= other.unwatched

    def querying_hook(self) -> tuple[str, float]:
        """The hook that queries most per row, and its statements per row; ('', 0.0) below one for every other row."""
        per_row = {hook: count / self.rows for hook, count in self.statements.items() if hook != LOADING}
        hook = max(per_row, key=per_row.__getitem__, default="")
        if self.rows < MIN_ROWS or per_row.get(hook, 0) < 0.5:
            return "", 0.0
        return hook, per_row[hook]


class HookProfiler:
    """Measures the hooks of one batch: ``enter`` before each hook, ``leave`` (or the end of ``with``) after the last.

    For error messages it keeps ``hook``, the one that was entered last, ``aborting_hook``, the one whose statement
    aborted the transaction, '' if none did, and ``database_error``, the last error of a statement. ``on_statement`` is
    called with each statement that a hook runs.
    """

    def __init__(self) -> None:
        self.costs = HookCosts()
        self.hook = self.aborting_hook = ""
        self.database_error: Exception | None = None
        self._running = ""
        self._since = 0.0
        self._queried = False
        self._using = ""
        self.on_statement: Callable[[str], None] = lambda sql: None

    @property
    def running(self) -> str:
        """The hook that runs, '' between hooks."""
        return self._running

    @contextmanager
    def profiling(self, using: str) -> Iterator[None]:
        """Count the statements on the connection ``using`` while the block lasts."""
        self._using = using
        with connections[using].execute_wrapper(self._count):
            yield

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def enter(self, hook: str) -> None:
        """Charge time and statements to ``hook`` from now on."""
        now = time.perf_counter()
        if self._running:
            self._charge(now)
        self.hook = self._running = hook
        self._since = now

    def leave(self) -> None:
        """Charge time and statements to no hook from now on."""
        if self._running:
            self._charge(time.perf_counter())
            self._running = ""

    def _charge(self, now: float) -> None:
        self.costs.seconds[self._running] += now - self._since
        if self._queried:  # only then the state of the transaction may have changed
            if not self.aborting_hook and is_aborted(self._using):
                self.aborting_hook = self._running
            self._queried = False

    def _count(self, execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if self._running:
            self.costs.statements[self._running] += 1
            self._queried = True
            if self._running != LOADING:
                self.on_statement(sql)
        try:
            return execute(sql, *arguments)
        except (DatabaseError, InterfaceError) as error:
            self.database_error = error
            raise


class _Unwritten:
    """The costs of this process that are not in the database yet, by database and model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._costs: defaultdict[tuple[str, str], HookCosts] = defaultdict(HookCosts)
        self._written_at: dict[tuple[str, str], float] = {}
        self.warned: set[tuple[str, str]] = set()
        self._unwatched: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._told: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def add(self, using: str, label: str, costs: HookCosts) -> HookCosts | None:
        """Add ``costs``. Returns all of the model where the last write is ``WRITE_INTERVAL`` ago, to be written now."""
        with self._lock:
            self._costs[using, label].add(costs)
            now = time.monotonic()
            if now - self._written_at.get((using, label), -WRITE_INTERVAL) < WRITE_INTERVAL:
                return None
            self._written_at[using, label] = now
            return self._costs.pop((using, label))

    def unwatched(self, using: str, label: str, found: set[tuple[str, str]]) -> set[tuple[str, str]] | None:
        """All that this process has seen hooks of the model read unwatched; None where the database has it already."""
        with self._lock:
            seen = self._unwatched[using, label]
            seen |= found
            if self._told.get((using, label)) == seen:
                return None
            self._told[using, label] = set(seen)
            return set(seen)


_unwritten = _Unwritten()


def record(label: str, costs: HookCosts, using: str) -> None:
    """Keep what a batch of the source model ``label`` cost, once the open transaction has committed."""
    if costs.rows:
        _warn_about_queries(label, costs)
        _warn_about_reads(label, costs)
        # After the commit, because the row of the model's costs would stay locked for the rest of the transaction.
        transaction.on_commit(lambda: _write(label, costs, using), using=using, robust=True)


def forget() -> None:
    """Drop the costs that are not written yet, and warn anew."""
    global _unwritten
    _unwritten = _Unwritten()


def rendering_costs(using: str) -> list[dict[str, Any]]:
    """A dict for each source model that was rendered, the slowest first.

    Keys: source, rows, ms_per_row, statements_per_row, slowest_hook, slowest_share (of the time, 0 to 1),
    querying_hook ('' if none queries per row), querying_statements (of that hook, per row), updated_at, unwatched
    (what hooks read unwatched, such as 'get_external_tags: blog.Category.name').
    """
    return gateway.fetch_dicts(using, "rendering_costs")


def _warn_about_queries(label: str, costs: HookCosts) -> None:
    hook, per_row = costs.querying_hook()
    if hook and (label, hook) not in _unwritten.warned:
        _unwritten.warned.add((label, hook))
        logger.warning(
            "%s of %s runs %.1f statements per row: load what it reads for the whole batch, by select_related() or"
            " prefetch_related() in get_external_queryset().",
            hook,
            label,
            per_row,
        )


def _warn_about_reads(label: str, costs: HookCosts) -> None:
    for hook, read in sorted(costs.unwatched):
        if (label, f"{hook} {read}") not in _unwritten.warned:
            _unwritten.warned.add((label, f"{hook} {read}"))
            logger.warning(
                "%s of %s reads %s, which is not watched, so a change there does not reach the index: add it to"
                " watch_fields.",
                hook,
                label,
                read,
            )


def _write(label: str, costs: HookCosts, using: str) -> None:
    due = _unwritten.add(using, label, costs)
    if due is None:
        return
    seconds = sum(due.seconds.values())
    slowest = max(due.seconds, key=due.seconds.__getitem__)
    querying, per_row = due.querying_hook()
    gateway.fetch(
        using,
        "rendering_cost_add",
        label=label,
        rows=due.rows,
        seconds=seconds,
        statements=due.statements.total(),
        slowest_hook=slowest,
        slowest_share=due.seconds[slowest] / seconds if seconds else 0.0,
        querying_hook=querying,
        querying_statements=per_row,
    )
    unwatched = _unwritten.unwatched(using, label, due.unwatched)
    if unwatched is not None:
        reads = [f"{hook}: {read}" for hook, read in sorted(unwatched)]
        gateway.fetch(using, "rendering_reads_set", label=label, reads=reads)
