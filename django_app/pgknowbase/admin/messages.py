"""What an action tells its user."""

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest

from pgknowbase.relay.selection import Outcome
from pgknowbase.relay.sync import SyncReport

SHOWN_FAILURES = 5
COUNTS = {
    "created": "new",
    "updated": "waiting to be embedded",
    "metadata": "changed beside the text",
    "unchanged": "unchanged",
    "removed": "without a row to index, removed",
    "failed": "failed",
}


def done(verb: str, report: SyncReport) -> str:
    """What ``verb`` (such as "Resynced") came to. For a removal the number says it all."""
    only_removed = report.removed == report.total and verb == "Removed"
    return f"{verb} {_objects(report.total)}{'' if only_removed else _counts(report, COUNTS)}."


def queued(report: SyncReport) -> str:
    """How many objects wait for new embeddings."""
    count = report.total - report.removed - report.failed
    return f"Queued {_objects(count)} for new embeddings{_counts(report, ['removed', 'failed'])}."


def tell(request: HttpRequest, headline: str, outcome: Outcome) -> None:
    """Report the headline, the first failures, and what was left undone."""
    report = outcome.report
    if report.total or not outcome.unknown:
        messages.add_message(request, messages.WARNING if report.failed else messages.SUCCESS, headline)
    for key, error in report.failures[:SHOWN_FAILURES]:
        messages.error(request, f"{key}: {error[:300]}")
    if report.failed > SHOWN_FAILURES:
        messages.error(request, f"{report.failed - SHOWN_FAILURES:,} more failed; each object's page says why.")
    if outcome.unknown:
        messages.warning(
            request,
            f"{_objects(outcome.unknown)} left alone: no source model of this project has such rows."
            " Install their app again, or remove them from the index.",
        )
    if outcome.more:
        messages.warning(
            request,
            "More is selected than one action may do. Repeat it for the rest; whole models are better served"
            " by 'manage.py sync_external_models'.",
        )


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count:,} objects"


def _counts(report: SyncReport, names: Iterable[str]) -> str:
    parts = [f"{getattr(report, name):,} {COUNTS[name]}" for name in names if getattr(report, name)]
    return f" ({', '.join(parts)})" if parts else ""
