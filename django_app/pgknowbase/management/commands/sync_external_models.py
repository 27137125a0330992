"""``manage.py sync_external_models``: brings the existing rows of source models into the index."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_table, positive
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.registry import Source, source_by_label, sources
from pgknowbase.relay.backfill import orphaned_keys, row_keys
from pgknowbase.relay.sync import SyncReport, sync_keys


class Command(KnowbaseCommand):
    help = "Render the existing rows of source models and remove what has no row any more; the worker embeds them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("models", nargs="*", metavar="app.Model", help="default: every source model")
        parser.add_argument("--batch-size", type=positive, default=500, help="rows per transaction (500)")
        parser.add_argument("--force", action="store_true", help="embed every chunk anew")
        parser.add_argument("--dry-run", action="store_true", help="count rows, write nothing")

    def handle(
        self,
        *,
        models: Sequence[str],
        batch_size: int,
        force: bool,
        dry_run: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        using = get_settings().database
        chosen = [source_by_label(label) for label in models] or sources()
        if not chosen:
            raise CommandError("There is no source model: let a model inherit from ExternalDataMixin.")
        if dry_run:
            rows = [[s.label, s.model._base_manager.using(using).count()] for s in chosen]
            self.stdout.write(as_table(["model", "rows"], rows))
            return
        results = [(s, *self._sync(s, using, batch_size, force, verbosity)) for s in chosen]
        table = [[s.label, *report.counts.values(), round(seconds, 1)] for s, report, seconds in results]
        self.stdout.write(as_table(["model", *SyncReport().counts, "seconds"], table))
        failures = [(s.label, *failure) for s, report, _ in results for failure in report.failures]
        for label, key, reason in failures[:20]:
            self.stderr.write(f"{label} {key}: {reason}")
        if failures:
            raise CommandError(f"{len(failures)} rows failed; the worker will try them again. See pgknowbase_status.")

    def _sync(
        self, source: Source, using: str, batch_size: int, force: bool, verbosity: int
    ) -> tuple[SyncReport, float]:
        started = time.perf_counter()
        report = SyncReport()
        total = source.model._base_manager.using(using).count()
        with tqdm(
            total=total,
            desc=source.label,
            unit=" rows",
            disable=True if verbosity == 0 else None,
            file=sys.stderr,
        ) as bar:
            for keys in row_keys(source, using, batch_size):
                report.add(sync_keys(source, keys, using, force=force, backfill=True))
                bar.update(len(keys))
        for keys in orphaned_keys(source, using, batch_size):
            report.add(sync_keys(source, keys, using))
        return report, time.perf_counter() - started
