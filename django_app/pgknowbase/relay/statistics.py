"""What rendering costs, per source model: kept in ``pgknowbase_render``, and hooks that query per row are told once."""

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from pgknowbase import gateway
from pgknowbase.relay.meter import Meter

logger = logging.getLogger("pgknowbase.relay")

# Seconds between two writes of one process for one model; those of other processes are to find the row unlocked.
WRITE_INTERVAL = 5.0
# In a batch of a few rows one statement per batch looks like one per row.
LEAST_ROWS = 5
LOADING = "get_external_queryset"


@dataclass
class Figures:
    """What the rows of one source model cost since they were last written down."""

    rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    statements: Counter[str] = field(default_factory=Counter)

    def add(self, meter: Meter) -> None:
        self.rows += meter.rows
        for hook, seconds in meter.seconds.items():
            self.seconds[hook] = self.seconds.get(hook, 0.0) + seconds
        self.statements.update(meter.statements)

    def querying(self) -> tuple[str, float]:
        """The hook that queries most, and its statements per row, if it does so for at least every other row."""
        per_row = {hook: count / self.rows for hook, count in self.statements.items() if hook != LOADING}
        hook = max(per_row, key=per_row.__getitem__, default="")
        if self.rows < LEAST_ROWS or per_row.get(hook, 0) < 0.5:
            return "", 0.0
        return hook, per_row[hook]


class _Ledger:
    """The figures of this process that are not yet written down."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.figures: dict[tuple[str, str], Figures] = {}
        self.written: dict[tuple[str, str], float] = {}
        self.told: set[tuple[str, str]] = set()

    def add(self, using: str, label: str, meter: Meter) -> Figures | None:
        """The figures of the model, if it is time to write them down."""
        with self.lock:
            figures = self.figures.setdefault((using, label), Figures())
            figures.add(meter)
            now = time.monotonic()
            if now - self.written.get((using, label), -WRITE_INTERVAL) < WRITE_INTERVAL:
                return None
            self.written[using, label] = now
            return self.figures.pop((using, label))


_ledger = _Ledger()


def record(label: str, meter: Meter, using: str) -> None:
    """Take down what a batch of one source model cost, once it is committed."""
    if meter.rows:
        _tell(label, meter)
        transaction.on_commit(lambda: _written(label, meter, using), using=using, robust=True)


def forget() -> None:
    """Let go of the figures that are not yet written down, and of what was told."""
    global _ledger
    _ledger = _Ledger()


def rendering_costs(using: str) -> list[dict[str, Any]]:
    """A dict for each source model that was rendered, the slowest first.

    Keys: source, rows, ms_per_row, statements_per_row, slowest_hook, slowest_share (of the time, 0 to 1),
    querying_hook ('' if none queries per row), querying_statements (of that hook, per row), updated_at.
    """
    return gateway.fetch_dicts(using, gateway.RENDERING_COSTS)


def _tell(label: str, meter: Meter) -> None:
    figures = Figures()
    figures.add(meter)
    hook, per_row = figures.querying()
    if hook and (label, hook) not in _ledger.told:
        _ledger.told.add((label, hook))
        logger.warning(
            "%s of %s runs %.1f statements per row: load what it reads for the whole batch, by select_related() or"
            " prefetch_related() in get_external_queryset().",
            hook,
            label,
            per_row,
        )


def _written(label: str, meter: Meter, using: str) -> None:
    figures = _ledger.add(using, label, meter)
    if figures is None:
        return
    seconds = sum(figures.seconds.values())
    slowest = max(figures.seconds, key=figures.seconds.__getitem__)
    gateway.fetch(
        using,
        gateway.RENDER_ADD,
        label,
        figures.rows,
        seconds,
        figures.statements.total(),
        slowest,
        figures.seconds[slowest] / seconds if seconds else 0.0,
        *figures.querying(),
    )
