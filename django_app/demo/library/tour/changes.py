"""Changes rows by QuerySet.update() and by psql, and waits until a search finds the change."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.management.base import CommandError

from demo.library.models import Entry
from demo.library.search import find
from demo.library.tour.processes import ManagedProcess
from demo.library.tour.psql import run_psql

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.005
UPDATE_SQL = "UPDATE library_entry SET docstring = :'docstring' WHERE qualname = :'qualname';"


@dataclass(frozen=True, slots=True)
class Change:
    """A new docstring for one entry, the question that finds it, and the way in which it is written."""

    qualname: str
    docstring: str
    question: str
    way: str
    write: Callable[[str, str], object]

    def is_found(self) -> bool:
        """Whether the changed entry is the best hit of the question."""
        return best_hit(self.question) == self.qualname

    def is_forgotten(self) -> bool:
        """Whether it is not the best hit any more."""
        return not self.is_found()


def write_by_update(qualname: str, docstring: str) -> None:
    """``QuerySet.update()``: no ``save()``, no signals."""
    Entry.objects.filter(qualname=qualname).update(docstring=docstring)


def write_by_psql(qualname: str, docstring: str) -> None:
    """Another program, another connection, no Python at all."""
    run_psql(UPDATE_SQL, qualname=qualname, docstring=docstring)


# Not timed: it includes the start of the worker, which loads its model.
WARM_UP = Change(
    qualname="gzip.open",
    docstring="Preheat the oven and let the bread dough rise for an hour.",
    question="how long must bread dough rise",
    way="QuerySet.update()",
    write=write_by_update,
)
CHANGES = (
    Change(
        qualname="gzip.open",
        docstring="Brew a pot of Earl Grey tea: four minutes in water just off the boil.",
        question="how to brew a pot of tea",
        way="QuerySet.update()",
        write=write_by_update,
    ),
    Change(
        qualname="shelve.open",
        docstring="Water the tomato plants on the balcony every evening, at the roots and not on the leaves.",
        question="when to water the tomato plants",
        way="psql",
        write=write_by_psql,
    ),
)


def apply(change: Change, worker: ManagedProcess) -> float:
    """Write the change and wait until the search finds it; milliseconds from the commit."""
    change.write(change.qualname, change.docstring)
    started = time.perf_counter()
    wait_until(change.is_found, worker, f"the new text of {change.qualname}")
    return (time.perf_counter() - started) * 1000


def show_change(change: Change, worker: ManagedProcess) -> Iterator[str]:
    """Lines to print: the best hit before, the change, the best hit afterwards with the lag."""
    yield f"  {change.question!r} finds {best_hit(change.question) or 'nothing'}"
    milliseconds = apply(change, worker)
    yield f"  {change.qualname} rewritten by {change.way}"
    yield f"  {change.question!r} finds {change.qualname}, {milliseconds:.0f} ms after the commit"


@contextmanager
def restored(changes: tuple[Change, ...]) -> Iterator[None]:
    """Put the docstrings back at the end, whatever happened."""
    names = [change.qualname for change in changes]
    originals = dict(Entry.objects.filter(qualname__in=names).values_list("qualname", "docstring"))
    missing = set(names) - originals.keys()
    if missing:
        raise CommandError(f"{', '.join(sorted(missing))} is not loaded: run 'manage.py load_library' without --limit.")
    try:
        yield
    finally:
        for qualname, docstring in originals.items():
            write_by_update(qualname, docstring)


def wait_until_restored(changes: tuple[Change, ...], worker: ManagedProcess) -> float:
    """Wait until no question finds its changed entry any more; milliseconds."""
    started = time.perf_counter()
    for change in changes:
        wait_until(change.is_forgotten, worker, f"the old text of {change.qualname}")
    return (time.perf_counter() - started) * 1000


def wait_until(done: Callable[[], bool], worker: ManagedProcess, what: str) -> None:
    """Poll ``done``.

    Raises:
        CommandError: the worker ended, or ``TIMEOUT_SECONDS`` have passed.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not done():
        if not worker.is_running():
            raise CommandError(f"The worker stopped before {what} was in the index: look at {worker.log}.")
        if time.monotonic() > deadline:
            raise CommandError(f"{what} was not in the index after {TIMEOUT_SECONDS:.0f} s: look at {worker.log}.")
        # Short, because it measures the lag.
        time.sleep(POLL_SECONDS)


def best_hit(question: str) -> str:
    """The name of the best hit, or ``""``."""
    hits = find(question, limit=1)
    return hits[0].name if hits else ""
