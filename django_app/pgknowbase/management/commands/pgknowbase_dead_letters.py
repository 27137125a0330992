"""``manage.py pgknowbase_dead_letters``: list dead letters and failed objects, and retry them."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import F, QuerySet

from pgknowbase.core.commands import KnowbaseCommand, add_database, add_format, as_json, as_table, database_alias
from pgknowbase.models import ExternalData, ExternalDataStatus
from pgknowbase.reactions.retry import failed_deliveries, retry_deliveries
from pgknowbase.sources.registry import source_by_label
from pgknowbase.sync.selection import UNBOUNDED, Outcome, sync_selection

COLUMNS = ("model", "object_key", "attempts", "due", "error")
DELIVERY_COLUMNS = ("reaction", "object_key", "state", "attempts", "due_at", "error")
MAX_TABLE_ROWS = 1000
MAX_ERROR_CHARACTERS = 120


class Command(KnowbaseCommand):
    help = "List dead letters, and failed objects that will be retried, with their errors; --retry retries them now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="app.Model", help="source models; default: all of them")
        parser.add_argument(
            "--retry",
            action="store_true",
            help="render them now, dead letters included, then list what still fails; the worker embeds",
        )
        parser.add_argument(
            "--reactions",
            action="store_true",
            help="deliveries to reactions instead; names are those of reactions; --retry makes them due for a worker",
        )
        add_format(parser)
        add_database(parser)

    def handle(
        self, *, names: Sequence[str], retry: bool, reactions: bool, format: str, database: str | None, **options: Any
    ) -> None:
        """List what failed.

        Raises:
            CommandError: a model or reaction is unknown.
        """
        using = database_alias(database)
        if reactions:
            self._deliveries(using, names, retry, format)
        else:
            self._objects(using, names, retry, format)

    def _objects(self, using: str, names: Sequence[str], retry: bool, format: str) -> None:
        failed = ExternalData.objects.using(using).filter(status=ExternalDataStatus.FAILED)
        if names:
            failed = failed.filter(content_type_id__in=[source_by_label(name).content_type_id(using) for name in names])
        outcome = sync_selection(failed, UNBOUNDED) if retry else None
        if format == "json":
            retried = outcome and {**outcome.report.counts, "unknown": outcome.unknown}
            self.stdout.write(as_json({"retried": retried, "failed": [_entry(data) for data in _ordered(failed)]}))
            return
        if outcome is not None:
            self.stdout.write(_summary(outcome))
        self._write_table(failed)

    def _deliveries(self, using: str, names: Sequence[str], retry: bool, format: str) -> None:
        failed = failed_deliveries(using, names)
        retried = retry_deliveries(failed) if retry else None
        entries = list(failed.values(*DELIVERY_COLUMNS)[: None if format == "json" else MAX_TABLE_ROWS])
        if format == "json":
            self.stdout.write(as_json({"retried": retried, "failed": entries}))
            return
        if retried is not None:
            self.stdout.write(f"{retried} are due now; a worker runs them.")
        if not entries:
            self.stdout.write("No delivery to a reaction has failed.")
            return
        for entry in entries:
            entry["error"] = entry["error"].partition("\n")[0][:MAX_ERROR_CHARACTERS]
        self.stdout.write(as_table(DELIVERY_COLUMNS, [list(entry.values()) for entry in entries]))

    def _write_table(self, failed: QuerySet[ExternalData]) -> None:
        entries = [_entry(data) for data in _ordered(failed)[: MAX_TABLE_ROWS + 1]]
        if not entries:
            self.stdout.write("Nothing has failed.")
            return
        for entry in entries:
            entry["due"] = entry["due"] or "dead"
            entry["error"] = entry["error"][:MAX_ERROR_CHARACTERS]
        self.stdout.write(as_table(COLUMNS, [[entry[name] for name in COLUMNS] for entry in entries[:MAX_TABLE_ROWS]]))
        if len(entries) > MAX_TABLE_ROWS:
            self.stdout.write(f"... and more; '--format json' lists all {failed.count():,}.")


def _ordered(failed: QuerySet[ExternalData]) -> QuerySet[ExternalData]:
    """Dead letters first, then by the time of the next attempt; only the columns that are shown."""
    narrow = failed.select_related("content_type").only("content_type", "object_key", "attempts", "retry_at", "error")
    return narrow.order_by(F("retry_at").asc(nulls_first=True), "pk")


def _entry(data: ExternalData) -> dict[str, Any]:
    model = data.source_model
    label = f"{data.content_type.app_label}.{data.content_type.model}" if model is None else model._meta.label
    return {
        "model": label,
        "object_key": data.object_key,
        "attempts": data.attempts,
        "due": data.retry_at,
        "error": data.error,
    }


def _summary(outcome: Outcome) -> str:
    report = outcome.report
    summary = f"{report.total} retried: {report.total - report.failed} rendered, {report.failed} failed again."
    if outcome.unknown:
        summary += f" {outcome.unknown} belong to no source model of this project."
    return summary
