"""What an examination finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is: something does not work, will not or may not, or is only good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


SEVEREST_FIRST = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``id`` names the kind, such as ``trigger.missing``. ``fix``: what to do, in order; each is a ``manage.py`` command,
    a statement that ends with ';', or a sentence.
    """

    id: str
    severity: Severity
    what: str
    fix: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {"id": self.id, "severity": str(self.severity), "what": self.what, "fix": list(self.fix)}


Examination = Callable[[str], Iterable[Finding]]


def error(kind: str, what: str, *fix: str) -> Finding:
    """Something does not work."""
    return Finding(kind, Severity.ERROR, what, fix)


def warning(kind: str, what: str, *fix: str) -> Finding:
    """Something will not go on working, or works badly."""
    return Finding(kind, Severity.WARNING, what, fix)


def info(kind: str, what: str, *fix: str) -> Finding:
    """Something good to know."""
    return Finding(kind, Severity.INFO, what, fix)


def named(things: Iterable[str], most: int = 5) -> str:
    """A few names, and how many more there are."""
    names = list(things)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ago(seconds: float) -> str:
    """A length of time in words that a person reads at a glance."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
