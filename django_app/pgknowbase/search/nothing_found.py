"""Why a search found nothing: below the threshold, hidden from the viewer, not indexed yet, or not there."""

from dataclasses import dataclass

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.search.filters import Filters

# Objects and changes are counted up to here, so that the reason for a search of nothing costs no more than a search.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class NothingFound:
    """What there is that a search without hits could have found. Counts end at 10,000.

    Attributes:
        passing: objects that pass the filters, whatever their similarity.
        hidden: further objects that pass but for the viewer. Not for the viewer's eyes.
        best: the score of the best hit without any threshold, or None where nothing can be compared.
        threshold: of the search; None: of each row.
        indexed: objects of the searched models, whatever the filters.
        waiting: those of them that are not embedded yet, or failed.
        changes: events of these models that no worker has taken yet.
        workers: workers that run.
        using: the alias of the searched database.
    """

    passing: int
    hidden: int
    best: float | None
    threshold: float | None
    indexed: int
    waiting: int
    changes: int
    workers: int
    using: str

    def __str__(self) -> str:
        return f"Nothing found: {'; '.join(self.reasons())}."

    def reasons(self) -> list[str]:
        """Each reason that there is. They count what the viewer may not see, so they are not for the viewer's eyes."""
        reasons = []
        if self.passing and self.best is not None:
            bound = "its own threshold" if self.threshold is None else f"the threshold of {self.threshold:g}"
            reasons.append(
                f"{self.passing:,} objects pass the filters, and each lies below {bound}: the best has {self.best:.3f}"
            )
        elif self.passing:
            reasons.append(f"{self.passing:,} objects pass the filters, and nothing of them matches the query")
        elif self.indexed and not self.hidden:
            reasons.append(f"the filters leave out all {self.indexed:,} objects that the index has")
        if self.hidden:
            reasons.append(f"{self.hidden:,} more would pass, but the viewer may not see them")
        if self.waiting:
            reasons.append(
                f"{self.waiting:,} objects are not embedded yet, or failed: see"
                f" {command_line('pgknowbase_status', self.using)!r}"
            )
        if self.changes:
            reasons.append(f"{self.changes:,} changes wait for a worker")
        if (self.waiting or self.changes) and not self.workers:
            reasons.append(f"no worker is running: start {command_line('pgknowbase_worker', self.using)!r}")
        if not reasons:
            reasons.append(
                "the index has no object that passes the filters: if there are such rows, run"
                f" {command_line('sync_external_models', self.using)!r}"
            )
        return reasons


def nothing_found(using: str, filters: Filters, *, best: float | None) -> NothingFound:
    """Count what a search with these filters, which had no hits, could have found.

    Args:
        best: the score of the best hit of the same search without a threshold, None if it has no hit either.
    """
    ((passing, existing, indexed, waiting, changes, workers),) = gateway.fetch(
        using,
        "nothing_found",
        filter=filters.json(),
        unrestricted=filters.without_viewer().json(),
        sources=None if filters.sources is None else list(filters.sources),
        at_most=MOST_COUNTED,
        heartbeat_timeout=get_settings().worker.heartbeat_timeout,
    )
    hidden = max(0, existing - passing)
    return NothingFound(passing, hidden, best, filters.threshold, indexed, waiting, changes, workers, using)
