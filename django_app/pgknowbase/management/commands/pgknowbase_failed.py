"""``manage.py pgknowbase_failed``: what could not be rendered or embedded, why, and when it is tried again."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.db.models import F, QuerySet

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.models import ExternalData, ExternalDataStatus
from pgknowbase.reactions.retry import failed_deliveries, retry_deliveries
from pgknowbase.registry import source_by_label
from pgknowbase.relay.selection import UNBOUNDED, Outcome, sync_selection

COLUMNS = ("model", "object_key", "attempts", "due", "error")
DELIVERY_COLUMNS = ("reaction", "object_key", "state", "attempts", "due_at", "error")
SHOWN = 1000
LONGEST_ERROR = 120


class Command(KnowbaseCommand):
    help = "List failed objects and dead letters with their errors; --retry renders them again now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("models", nargs="*", metavar="app.Model", help="default: every source model")
        parser.add_argument("--retry", action="store_true", help="render them again now, dead letters included")
        parser.add_argument("--reactions", action="store_true", help="runs of reactions instead; names are then theirs")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, models: Sequence[str], retry: bool, reactions: bool, format: str, **options: Any) -> None:
        using = get_settings().database
        if reactions:
            self._reactions(using, models, retry, format)
            return
        failed = ExternalData.objects.using(using).filter(status=ExternalDataStatus.FAILED)
        if models:
            failed = failed.filter(content_type_id__in=[source_by_label(m).content_type_id(using) for m in models])
        outcome = sync_selection(failed, UNBOUNDED) if retry else None
        if format == "json":
            retried = outcome and {**outcome.report.counts, "unknown": outcome.unknown}
            self.stdout.write(as_json({"retried": retried, "failed": [_entry(data) for data in _listed(failed)]}))
            return
        if outcome is not None:
            self.stdout.write(_summary(outcome))
        self._table(failed)

    def _reactions(self, using: str, names: Sequence[str], retry: bool, format: str) -> None:
        failed = failed_deliveries(using, names)
        retried = retry_deliveries(failed) if retry else None
        entries = list(failed.values(*DELIVERY_COLUMNS)[: None if format == "json" else SHOWN])
        if format == "json":
            self.stdout.write(as_json({"retried": retried, "failed": entries}))
            return
        if retried is not None:
            self.stdout.write(f"{retried} are due now; a worker runs them.")
        if not entries:
            self.stdout.write("No run of a reaction has failed.")
            return
        for entry in entries:
            entry["error"] = entry["error"].partition("\n")[0][:LONGEST_ERROR]
        self.stdout.write(as_table(DELIVERY_COLUMNS, [list(entry.values()) for entry in entries]))

    def _table(self, failed: QuerySet[ExternalData]) -> None:
        entries = [_entry(data) for data in _listed(failed)[: SHOWN + 1]]
        if not entries:
            self.stdout.write("Nothing has failed.")
            return
        for entry in entries:
            entry["due"] = entry["due"] or "dead"
            entry["error"] = entry["error"][:LONGEST_ERROR]
        self.stdout.write(as_table(COLUMNS, [[entry[name] for name in COLUMNS] for entry in entries[:SHOWN]]))
        if len(entries) > SHOWN:
            self.stdout.write(f"... and more; '--format json' lists all {failed.count():,}.")


def _listed(failed: QuerySet[ExternalData]) -> QuerySet[ExternalData]:
    """The columns that are shown: dead letters first, then those that are due soonest."""
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
    said = f"{report.total} retried, {report.total - report.failed} brought back, {report.failed} failed again."
    return f"{said} {outcome.unknown} of no source model of this project." if outcome.unknown else said
