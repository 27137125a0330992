"""``manage.py sync_external_models``: brings the existing rows of source models into the index."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from pgknowbase.conf import get_settings
from pgknowbase.drift import repair as drift
from pgknowbase.drift.report import Drift
from pgknowbase.management.arguments import as_json, as_table, positive
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
        does = parser.add_mutually_exclusive_group()
        does.add_argument("--dry-run", action="store_true", help="count rows, write nothing")
        does.add_argument("--check", action="store_true", help="compare rows and index, write nothing")
        does.add_argument("--repair", action="store_true", help="compare rows and index, heal only what differs")
        parser.add_argument("--format", choices=("table", "json"), default="table", help="of --check and --repair")

    def handle(
        self,
        *,
        models: Sequence[str],
        batch_size: int,
        force: bool,
        dry_run: bool,
        check: bool,
        repair: bool,
        format: str,
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
        if check or repair:
            compared = chosen if models else [source for source in chosen if source.config.auto_sync]
            self._compare(compared, using, batch_size, healing=repair, as_text=format == "table", verbosity=verbosity)
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
        with _progress(source, using, verbosity) as bar:
            for keys in row_keys(source, using, batch_size):
                report.add(sync_keys(source, keys, using, force=force, backfill=True))
                bar.update(len(keys))
        for keys in orphaned_keys(source, using, batch_size):
            report.add(sync_keys(source, keys, using))
        return report, time.perf_counter() - started

    def _compare(
        self, chosen: Sequence[Source], using: str, batch_size: int, *, healing: bool, as_text: bool, verbosity: int
    ) -> None:
        compare = drift.repair if healing else drift.check
        found: list[Drift] = []
        for source in chosen:
            with _progress(source, using, verbosity) as bar:
                found.append(compare(source, using, batch_size=batch_size, progress=bar.update))
        if as_text:
            self._tell(found, healing)
        else:
            self.stdout.write(as_json([one.as_dict() for one in found]))
        left = 0 if healing else sum(one.total for one in found)
        failed = sum(one.failed + one.healed.failed for one in found)
        if left:
            raise CommandError(f"{left} objects have drifted: heal them with 'sync_external_models --repair'.")
        if failed:
            raise CommandError(f"{failed} rows could not be rendered: mend what the messages above say of them.")

    def _tell(self, found: Sequence[Drift], healing: bool) -> None:
        rows = [one.figures() for one in found]
        self.stdout.write(as_table(list(Drift("").figures()), [list(row.values()) for row in rows]))
        for one in found:
            for fault in one.examples:
                self.stdout.write(f"{one.model} {fault}")
            for key, reason in [*one.failures, *one.healed.failures[:20]]:
                self.stderr.write(f"{one.model} {key}: {reason}")
        if healing:
            done = SyncReport()
            for one in found:
                done.add(one.healed)
            figures = ", ".join(f"{number} {outcome}" for outcome, number in done.counts.items())
            requeued = sum(one.requeued for one in found)
            self.stdout.write(f"Repaired {sum(one.total for one in found)}: {figures}, {requeued} to be embedded again")


def _progress(source: Source, using: str, verbosity: int) -> "tqdm[Any]":
    return tqdm(
        total=source.model._base_manager.using(using).count(),
        desc=source.label,
        unit=" rows",
        disable=True if verbosity == 0 else None,
        file=sys.stderr,
    )
