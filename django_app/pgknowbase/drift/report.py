"""What a comparison found."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from pgknowbase.relay.sync import SyncReport

KINDS = ("missing", "stale", "orphaned", "dangling")
MOST_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One object that differs from its row. ``waits``: outbox or queue holds what will mend it."""

    object_key: str
    kind: str
    detail: str = ""
    waits: bool = False
    redo: bool = False  # its document must be written, or its leftovers deleted, even if its hash is right

    def __str__(self) -> str:
        return f"{self.object_key}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class Drift:
    """How the index of one source model differs from its committed rows.

    ``counts`` has objects by kind, ``pending`` those that outbox or queue will mend; ``examples`` are the first few.
    """

    model: str
    rows: int = 0
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    pending: int = 0
    examples: list[Fault] = field(default_factory=list)
    waiting: list[Fault] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    requeued: int = 0
    healed: SyncReport = field(default_factory=SyncReport)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Objects that have drifted."""
        return self.counts.total()

    def add(self, fault: Fault) -> None:
        """Count ``fault``, and keep it if there are few yet."""
        if fault.waits:
            self.pending += 1
        else:
            self.counts[fault.kind] += 1
        kept = self.waiting if fault.waits else self.examples
        if len(kept) < MOST_EXAMPLES:
            kept.append(fault)

    def add_failures(self, failures: list[tuple[str, str]]) -> None:
        """Count rows that could not be rendered, and keep the first few."""
        self.failed += len(failures)
        self.failures += failures[: MOST_EXAMPLES - len(self.failures)]

    def figures(self) -> dict[str, Any]:
        """The numbers of one line of a table."""
        return {
            "model": self.model,
            "rows": self.rows,
            **self.counts,
            "pending": self.pending,
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            **self.figures(),
            "examples": [asdict(fault) for fault in self.examples],
            "failures": [{"object_key": key, "error": error} for key, error in self.failures],
            "repaired": {**self.healed.counts, "requeued": self.requeued},
        }
