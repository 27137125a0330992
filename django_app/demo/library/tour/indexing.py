"""Runs the worker until nothing is left to do, with a progress bar."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError
from django.db.models import Q, Sum
from tqdm import tqdm

from demo.library.models import Entry, Module
from demo.library.tour.processes import ManagedProcess
from pgknowbase.models import ExternalData

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What the index holds of the demo's two models."""

    completed: int
    failed: int
    chunks: int


def count_sources() -> int:
    """Rows that belong in the index: a module without a docstring does not."""
    return Entry.objects.count() + Module.objects.exclude(docstring="").count()


def count_index() -> IndexCounts:
    """Finished rows, failed rows and chunks."""
    types = ContentType.objects.get_for_models(Module, Entry).values()
    rows = ExternalData.objects.filter(content_type__in=types)
    chunks = rows.aggregate(chunks=Sum("chunk_count", default=0))["chunks"]
    completed = rows.filter(status="completed").count()
    return IndexCounts(completed, rows.filter(status="failed").count(), chunks)


def drain(log: Path, *, quiet: bool = False) -> float:
    """Run ``pgknowbase_worker --once`` to its end and return the seconds it took.

    Raises:
        CommandError: the worker failed, or left rows undone.
    """
    started = time.perf_counter()
    sources = count_sources()
    with (
        ManagedProcess("pgknowbase_worker", "--once", log=log, environment={"DJANGO_DEBUG": "0"}) as worker,
        tqdm(total=sources, desc="index", unit="row", file=sys.stderr, disable=quiet or None, leave=False) as bar,
    ):
        while worker.is_running():
            _show(bar, sources)
            time.sleep(POLL_SECONDS)
        _show(bar, sources)
    seconds = time.perf_counter() - started
    counts = count_index()
    if counts.completed < sources:
        errors = _first_errors()
        raise CommandError(
            f"The worker left {sources - counts.completed:,} of {sources:,} rows undone."
            f" {counts.failed:,} failed. {errors} Look at {log}."
        )
    return seconds


def _show(bar: "tqdm[Any]", sources: int) -> None:
    counts = count_index()
    bar.n = min(counts.completed + counts.failed, sources)
    bar.set_postfix(chunks=counts.chunks)


def _first_errors() -> str:
    rows = ExternalData.objects.filter(~Q(error=""))[:3]
    return " ".join(f"{row.title!r}: {row.error}." for row in rows)
