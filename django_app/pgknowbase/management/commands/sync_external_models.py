"""``manage.py sync_external_models``: index existing rows; check or repair the index."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.core.command_line import command_line
from pgknowbase.core.commands import (
    KnowbaseCommand,
    add_database,
    add_format,
    as_json,
    as_table,
    database_alias,
    positive,
    progress_bar,
)
from pgknowbase.core.keys import normal_key
from pgknowbase.operations import drift
from pgknowbase.operations.drift import Drift
from pgknowbase.operations.estimate import estimate_sync, write_estimates
from pgknowbase.operations.former_sources import FormerSource, former_sources, remove_objects
from pgknowbase.relay.writing import SyncReport
from pgknowbase.sources.registry import Source, source_by_label, sources
from pgknowbase.sync.backfill import orphaned_keys, row_keys, sync_keys

if TYPE_CHECKING:
    from tqdm import tqdm

MAX_FAILURES = 20
INTERRUPTED = 130  # the exit code of what SIGINT ends: 128 and the signal's number


@dataclass
class _Progress:
    """How far one source model is indexed: ``after`` is the key of the last row that is done."""

    source: Source
    after: str | None = None
    report: SyncReport = field(default_factory=SyncReport)
    seconds: float = 0.0


class Command(KnowbaseCommand):
    help = "Index the existing rows of source models and remove objects without a row; a worker embeds them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="app.Model", help="default: every source model with auto_sync")
        parser.add_argument("--batch-size", type=positive, default=500, help="rows per transaction, %(default)s")
        parser.add_argument("--force", action="store_true", help="embed every chunk again, even of unchanged text")
        parser.add_argument(
            "--after", metavar="KEY", help="a primary key: leave out the first named model's rows up to it"
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--dry-run", action="store_true", help="count rows; write nothing")
        mode.add_argument("--check", action="store_true", help="compare rows with the index; write nothing")
        mode.add_argument(
            "--repair", action="store_true", help="compare rows with the index, and index again only what differs"
        )
        mode.add_argument("--estimate", action="store_true", help="say what it would cost; write and send nothing")
        parser.add_argument(
            "--sample",
            type=positive,
            metavar="ROWS",
            help="for --estimate: render only so many rows of each model, and scale the figures up",
        )
        parser.add_argument(
            "--embeddings",
            type=positive,
            default=0,
            metavar="SAMPLE",
            help="for --check and --repair: how many chunks of each model, taken at random, are embedded again and"
            " compared with their vectors",
        )
        add_format(parser)
        add_database(parser)

    def handle(
        self,
        *,
        models: Sequence[str],
        batch_size: int,
        force: bool,
        after: str | None,
        dry_run: bool,
        check: bool,
        repair: bool,
        estimate: bool,
        sample: int | None,
        embeddings: int,
        format: str,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Index, count, check or repair.

        Raises:
            CommandError: a model is unknown, a row failed, or ``--check`` found drift.
        """
        using = database_alias(database)
        chosen = [source_by_label(label) for label in models]
        if embeddings and not (check or repair):
            raise CommandError("--embeddings goes with --check or --repair.")
        if sample and not estimate:
            raise CommandError("--sample goes with --estimate.")
        if after is not None and (not models or dry_run or check or repair or estimate):
            raise CommandError(
                "--after needs the name of a model, and goes without --dry-run, --check, --repair and --estimate."
            )
        if not models:
            if not sources() and not (check or repair):
                raise CommandError("There are no source models: let a model inherit from ExternalDataMixin.")
            chosen = [source for source in sources() if source.config.auto_sync]
        if dry_run:
            rows = [[s.label, s.model._base_manager.using(using).count()] for s in chosen]
            self.stdout.write(as_table(["model", "rows"], rows))
        elif estimate:
            self._estimate(chosen, using, sample=sample, force=force, format=format, verbosity=verbosity)
        elif check or repair:
            compare = partial(drift.repair if repair else drift.check, batch_size=batch_size, embeddings=embeddings)
            self._compare(compare, chosen, using, named=bool(models), repair=repair, format=format, verbosity=verbosity)
        else:
            runs = [_Progress(source) for source in chosen]
            if after is not None:
                runs[0].after = normal_key(chosen[0].model, after)
            self._sync_all(runs, using, batch_size, force, verbosity)
        if not models and (by_hand := [source.label for source in sources() if not source.config.auto_sync]):
            self.stderr.write(f"Left out, since auto_sync is False: {', '.join(by_hand)}. Name a model to include it.")

    # Indexing

    def _sync_all(self, runs: Sequence[_Progress], using: str, batch_size: int, force: bool, verbosity: int) -> None:
        finished = 0
        try:
            for run in runs:
                self._sync(run, using, batch_size, force, verbosity)
                finished += 1
        except KeyboardInterrupt:
            remaining = runs[finished:]
        else:
            remaining = []
        shown = runs[: finished + 1]
        table = [[run.source.label, *run.report.counts.values(), round(run.seconds, 1)] for run in shown]
        self.stdout.write(as_table(["model", *SyncReport().counts, "seconds"], table))
        failures = [(run.source.label, *failure) for run in shown for failure in run.report.failures]
        for label, key, reason in failures[:MAX_FAILURES]:
            self.stderr.write(f"{label} {key}: {reason}")
        if remaining:
            again = _command_for(remaining, using, batch_size, force)
            raise CommandError(
                f"Interrupted; what the table counts is done. Continue with:\n{again}", returncode=INTERRUPTED
            )
        if failures:
            see = command_line("pgknowbase_dead_letters", using)
            raise CommandError(f"{len(failures)} rows failed; the worker will retry them: see {see!r}.")

    def _sync(self, run: _Progress, using: str, batch_size: int, force: bool, verbosity: int) -> None:
        started = time.perf_counter()
        try:
            with _bar(run.source, using, verbosity) as bar:
                for keys in row_keys(run.source, using, batch_size, after=run.after):
                    run.report.add(sync_keys(run.source, keys, using, force=force, backfill=True))
                    run.after = keys[-1]
                    bar.update(len(keys))
            for keys in orphaned_keys(run.source, using, batch_size):
                run.report.add(sync_keys(run.source, keys, using))
        finally:
            run.seconds = time.perf_counter() - started

    # Estimating

    def _estimate(
        self, chosen: Sequence[Source], using: str, *, sample: int | None, force: bool, format: str, verbosity: int
    ) -> None:
        estimates = []
        for source in chosen:
            with _bar(source, using, verbosity) as bar:
                estimates.append(estimate_sync(source, using, sample=sample, force=force, progress=bar.update))
        write_estimates(self.stdout, estimates, format)

    # Checking and repairing

    def _compare(
        self,
        compare: Callable[..., Drift],
        chosen: Sequence[Source],
        using: str,
        *,
        named: bool,
        repair: bool,
        format: str,
        verbosity: int,
    ) -> None:
        results: list[Drift] = []
        for former in [] if named else former_sources(using):
            if former.objects:
                results.append(self._former(former, using, repair=repair))
        for source in chosen:
            with _bar(source, using, verbosity) as bar:
                results.append(compare(source, using, progress=bar.update))
        if format == "json":
            self.stdout.write(as_json([one.as_dict() for one in results]))
        else:
            self._write_drift(results)
            if repair:
                self._write_repairs(results)
        drifted = 0 if repair else sum(one.total for one in results)
        failed = sum(one.failed + one.repaired.failed for one in results)
        if drifted:
            again = command_line("sync_external_models --repair", using)
            raise CommandError(f"{drifted} objects have drifted: repair them with {again!r}.")
        if failed:
            raise CommandError(f"{failed} rows could not be rendered: correct what the messages above say of them.")

    def _former(self, former: FormerSource, using: str, *, repair: bool) -> Drift:
        """The objects of a model that is not a source any more are orphaned, all of them."""
        found = Drift(former.label)
        found.counts["orphaned"] = former.objects
        if repair:
            found.repaired.removed = remove_objects(former, using)
        return found

    def _write_drift(self, results: Sequence[Drift]) -> None:
        rows = [one.figures() for one in results]
        self.stdout.write(as_table(list(Drift("").figures()), [list(row.values()) for row in rows]))
        for one in results:
            for difference in one.examples:
                self.stdout.write(f"{one.model} {difference}")
            for key, reason in [*one.failures, *one.repaired.failures[:MAX_FAILURES]]:
                self.stderr.write(f"{one.model} {key}: {reason}")

    def _write_repairs(self, results: Sequence[Drift]) -> None:
        repaired = SyncReport()
        for one in results:
            repaired.add(one.repaired)
        figures = ", ".join(f"{number} {outcome}" for outcome, number in repaired.counts.items())
        requeued = sum(one.requeued for one in results)
        self.stdout.write(f"Repaired {sum(one.total for one in results)}: {figures}, {requeued} requeued for embedding")


def _command_for(runs: Sequence[_Progress], using: str, batch_size: int, force: bool) -> str:
    """The command line that does what is left of ``runs``."""
    words = ["manage.py", "sync_external_models", *(run.source.label for run in runs), f"--batch-size={batch_size}"]
    words += ["--force"] if force else []
    words += [f"--database={using}"]
    words += [f"--after={runs[0].after}"] if runs[0].after is not None else []
    return shlex.join(words)


def _bar(source: Source, using: str, verbosity: int) -> "tqdm[Any]":
    rows = source.model._base_manager.using(using).count()
    return progress_bar(rows, unit="rows", hidden=not verbosity, description=source.label)
