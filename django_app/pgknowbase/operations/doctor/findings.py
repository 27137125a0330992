"""What an examination of the doctor reports: findings, their severity and how to repair them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """ERROR: something does not work. WARNING: it works badly, or will stop working. INFO: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


MOST_SEVERE_FIRST = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem.

    Args:
        id: the kind of problem, such as ``trigger.missing``; docs/doctor.md lists them.
        what: a sentence that names what is wrong.
        fix: the steps of the repair in order; each is a ``manage.py`` command, a statement that ends with ';', or a
            sentence.
    """

    id: str
    severity: Severity
    what: str
    fix: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {"id": self.id, "severity": str(self.severity), "what": self.what, "fix": list(self.fix)}


# Takes the alias of the database.
Examination = Callable[[str], Iterable[Finding]]


def error(id: str, what: str, *fix: str) -> Finding:
    """A finding that something does not work."""
    return Finding(id, Severity.ERROR, what, fix)


def warning(id: str, what: str, *fix: str) -> Finding:
    """A finding that something works badly, or will stop working."""
    return Finding(id, Severity.WARNING, what, fix)


def info(id: str, what: str, *fix: str) -> Finding:
    """A finding that is worth knowing."""
    return Finding(id, Severity.INFO, what, fix)


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first ``most`` names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def duration(seconds: float) -> str:
    """A duration in the largest unit of which there are at least two."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
