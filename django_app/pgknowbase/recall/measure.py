"""Measuring: the same queries by the vector index and exactly, and the smallest walk that finds enough."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, median
from typing import LiteralString

from django.db import transaction

from pgknowbase import gateway
from pgknowbase.embeddings.base import Vector
from pgknowbase.recall.cases import Case
from pgknowbase.search.hits import literal

SMALLEST, LARGEST = 40, 1000
# Two vectors at the same distance may come in either order.
TIE = 1e-9

Similarities = list[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean recall in [0, 1] and median milliseconds of one search, at one ``ef_search``."""

    ef_search: int
    recall: float
    milliseconds: float


@dataclass
class Bench:
    """One case with its queries. Each ``ef_search`` is measured once, the exact searches too.

    Args:
        limit: how many rows each query asks for.
        exact_below: as the setting of that name; 0 measures the vector index whatever the size of the store.
    """

    using: str
    case: Case
    queries: Sequence[Vector]
    limit: int
    exact_below: int
    _known: dict[int, Measured] = field(default_factory=dict)

    @cached_property
    def exact(self) -> tuple[list[Similarities], float]:
        """Per query the similarities that an exact search finds, best first, and its median milliseconds."""
        return self._timed(gateway.SIMILARITIES_EXACT)

    def at(self, ef_search: int) -> Measured:
        """How well and how fast searches are with ``ef_search``."""
        if ef_search not in self._known:
            with transaction.atomic(using=self.using):
                gateway.fetch(self.using, gateway.EF_SEARCH, str(ef_search))
                found, milliseconds = self._timed(gateway.SIMILARITIES, self.exact_below)
                # Inside another transaction it would last to the end of that one.
                gateway.fetch(self.using, gateway.EF_SEARCH, "")
            right = [recall(mine, best) for mine, best in zip(found, self.exact[0], strict=True) if best]
            self._known[ef_search] = Measured(ef_search, fmean(right) if right else 1.0, milliseconds)
        return self._known[ef_search]

    def needed(self, target: float) -> Measured | None:
        """The smallest ``ef_search`` from 40 to 1000 whose recall is at least ``target``, or None."""
        smallest = smallest_reaching(lambda ef_search: self.at(ef_search).recall, target)
        return None if smallest is None else self.at(smallest)

    def _timed(self, statement: LiteralString, *more: int) -> tuple[list[Similarities], float]:
        sources, metadata, tags = self.case.params
        found, times = [], []
        for number, vector in enumerate([self.queries[0], *self.queries]):
            started = time.perf_counter()
            rows = gateway.fetch(
                self.using, statement, literal(vector), self.limit, sources, metadata, tags, *more
            )  # fmt: skip
            if number:  # the first one only warms up
                times.append(1000 * (time.perf_counter() - started))
                found.append([similarity for (similarity,) in rows])
        return found, median(times)


def recall(found: Similarities, best: Similarities) -> float:
    """The share of the best rows that were found; a row as near as the last of the best counts as one of them."""
    return min(1.0, sum(similarity >= best[-1] - TIE for similarity in found) / len(best))


def smallest_reaching(measure: Callable[[int], float], target: float) -> int | None:
    """By halving, the smallest number whose measure reaches ``target``, or None if the largest does not."""
    low, high = SMALLEST, LARGEST
    if measure(high) < target:
        return None
    while low < high:
        middle = (low + high) // 2
        if measure(middle) >= target:
            high = middle
        else:
            low = middle + 1
    return low
