"""``manage.py load_library``: the documentation of Python and Django into the tables."""

import argparse
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from demo.library.extract import LIBRARIES, extract_library
from demo.library.extract.records import Library
from demo.library.loading import LoadReport, load_records

DEFAULT_LIMIT = 2000


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


class Command(BaseCommand):
    """Reads the installed standard library and Django and stores what changed since the last run."""

    help = "Load the documentation of the installed Python and Django; unchanged rows are left alone."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument("--library", choices=LIBRARIES, help="load only this library")
        parser.add_argument(
            "--limit",
            type=positive,
            default=DEFAULT_LIMIT,
            help="keep at most this many entries of each library (default: %(default)s)",
        )

    def handle(self, *, library: Library | None, limit: int, verbosity: int, **options: Any) -> None:
        """Load one library or both, and say what was done."""
        for name in (library,) if library else LIBRARIES:
            started = time.perf_counter()
            report = self._load(name, limit, quiet=verbosity == 0)
            if verbosity:
                seconds = time.perf_counter() - started
                self.stdout.write(
                    f"{name}: {report.total:,} rows, {report.written:,} written, {report.removed:,} removed"
                    f" in {seconds:.1f} s"
                )

    def _load(self, library: Library, limit: int, *, quiet: bool) -> LoadReport:
        records = extract_library(library, limit=limit)
        total = len(records.modules) + len(records.entries)
        with tqdm(total=total, desc=library, unit="row", file=sys.stderr, disable=quiet or None, leave=False) as bar:
            return load_records(library, records, on_progress=bar.update)
