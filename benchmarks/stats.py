"""Medians, percentiles, and the clock."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stopwatch:
    """``seconds`` of the block, set when it is left."""

    seconds: float = 0.0


@contextmanager
def stopwatch(watch: Stopwatch) -> Iterator[None]:
    started = time.perf_counter()
    yield
    watch.seconds = time.perf_counter() - started


def timed(function: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    watch = Stopwatch()
    with stopwatch(watch):
        function()
    return watch.seconds


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def alternate(rounds: int, cases: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Run every case once per round, each round in another order, so that a busy machine hits all alike."""
    names = list(cases)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(cases[name]())
    return found
