"""Doing the worker's work inside a test."""

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.registry import sources
from pgknowbase.worker import Worker, WorkerTotals


def drain(using: str | None = None) -> WorkerTotals:
    """Work off outbox and queue in this thread and on this connection, as ``pgknowbase_worker --once`` does.

    Works inside ``TestCase``, where everything is in one transaction, and inside ``TransactionTestCase``. What is not
    due yet, such as a text that the provider refused for now, stays: see ``make_due``.
    """
    using = using or get_settings().database
    _forget_flush(using)
    return Worker(using).run_until_idle()


def make_due(using: str | None = None) -> None:
    """Let everything that waits be due now: other tries, and what dead workers had on lease."""
    gateway.fetch(using or get_settings().database, gateway.MAKE_DUE)


def _forget_flush(using: str) -> None:
    """Drop the TRUNCATE events with which Django empties tables between tests: no object is left that they concern."""
    truncated = OutboxEvent.objects.using(using).filter(op=OutboxEvent.Op.TRUNCATE)
    labels = set(truncated.values_list("source", flat=True))
    for source in sources():
        known = ExternalData.objects.using(using).filter(content_type_id=source.content_type_id(using))
        if source.label in labels and not known.exists():
            truncated.filter(source=source.label).delete()
