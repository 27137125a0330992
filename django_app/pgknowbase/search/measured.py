"""What is told of each search: a span, and how many searches this process has made, by mode and plan."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from pgknowbase.conf import get_settings
from pgknowbase.core.telemetry import span
from pgknowbase.search.plan import SearchStep
from pgknowbase.search.queries import Query, TextQuery


class SearchCounts:
    """Searches of this process. ``plan`` is '' where it was not recorded, which needs a span or ``RECORD_PLANS``."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, mode: str, plan: str) -> None:
        """Count a search."""
        with self._lock:
            self._counts[mode, plan] += 1

    def read(self) -> dict[tuple[str, str], int]:
        """How many there were, by mode and plan."""
        with self._lock:
            return dict(self._counts)


search_counts = SearchCounts()


@dataclass
class Measured:
    """One search.

    Attributes:
        steps: where its plans are to be recorded; None where nobody asks for them.
        hits: found.
        is_partial: a server of the cluster did not answer.
        is_counted: False where it was done in vain, and is done again in another way.
    """

    steps: list[SearchStep] | None = None
    hits: int = 0
    is_partial: bool = False
    is_counted: bool = True


@contextmanager
def measured(query: Query, database: str, limit: int) -> Iterator[Measured]:
    """Measure the search in the block, which says how many ``hits`` it had."""
    mode = type(query).__name__.removesuffix("Query").lower()
    settings = get_settings().telemetry
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.request.top_k": limit,
        "db.system.name": "postgresql",
        "db.namespace": database,
        "pgknowbase.search.mode": mode,
    }
    with span("retrieval pgknowbase", attributes) as made:
        found = Measured([] if made.is_recording or settings.record_plans else None)
        yield found
        plan = found.steps[-1].plan if found.steps else ""
        if found.is_counted:
            search_counts.add(mode, plan)
        if made.is_recording:
            text = query.text if settings.content and isinstance(query, TextQuery) else None
            made.set(
                {
                    "pgknowbase.search.plan": plan or None,
                    "pgknowbase.search.statements": len(found.steps or ()),
                    "pgknowbase.search.partial": found.is_partial or None,
                    "db.response.returned_rows": found.hits,
                    "gen_ai.retrieval.query.text": text,
                }
            )
