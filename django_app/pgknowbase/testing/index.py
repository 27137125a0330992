"""The index in tests: do the worker's work, then assert what the index holds and how it ranks."""

from collections.abc import Sequence
from typing import Any

from django.db import models

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.operations.drift import Drift, check
from pgknowbase.sources.registry import source_of, sources
from pgknowbase.worker import Worker, WorkerTotals

# The worker's work


def drain(using: str | None = None) -> WorkerTotals:
    """Process outbox and queue in this thread and on this connection, as ``pgknowbase_worker --once`` does.

    It works inside ``TestCase``, where everything is in one transaction, and inside ``TransactionTestCase``. What is
    not due yet, such as a text that the provider refused for now, stays: see ``make_due``.

    >>> article = Article.objects.create(title="Rice", body="Wash the rice, then steam it.")
    >>> drain()
    >>> Article.objects.semantic_search("steam the rice")[0] == article
    True
    """
    using = using or get_settings().database
    _forget_flush(using)
    return Worker(using).run_until_idle()


def make_due(using: str | None = None) -> None:
    """Make everything that waits due now: retries, and documents that dead workers had on lease."""
    gateway.fetch(using or get_settings().database, "make_due")


def _forget_flush(using: str) -> None:
    """Drop the TRUNCATE events with which Django empties tables between tests, if no object is left to remove."""
    # They would make the relay compare whole tables after each test.
    truncated = OutboxEvent.objects.using(using).filter(op=OutboxEvent.Op.TRUNCATE)
    labels = set(truncated.values_list("source", flat=True))
    for source in sources():
        known = ExternalData.objects.using(using).filter(content_type_id=source.content_type_id(using))
        if source.label in labels and not known.exists():
            truncated.filter(source=source.label).delete()


# Assertions


def assert_in_sync(*chosen: type[models.Model], using: str | None = None) -> None:
    """Assert that the index matches the committed rows, chunks included, and that nothing waits.

    ``chosen``: source models; by default all that have ``auto_sync``.

    Raises:
        AssertionError: lists the objects that differ, and how.
    """
    using = using or get_settings().database
    compared = [source_of(model) for model in chosen] or [one for one in sources() if one.config.auto_sync]
    lines = [line for source in compared for line in _lines(check(source, using))]
    if lines:
        raise AssertionError("The index does not match the rows:\n" + "\n".join(lines))


def assert_ranks(query: str, expected: Sequence[models.Model], *, limit: int = 10, **options: Any) -> None:
    """Assert that a search finds all of ``expected`` in this order; other hits may stand between them.

    Rows of one model are searched with ``semantic_search``, rows of several with ``ExternalData.objects.search``.
    ``threshold`` is -1 unless given; the other options are those of the search.

    Raises:
        AssertionError: shows what was found, with similarities.
    """
    options.setdefault("threshold", -1)
    found = _search(query, list(dict.fromkeys(map(type, expected))), limit, options)
    wanted = [_name(row) for row in expected]
    if [name for name, _ in found if name in wanted] != wanted:
        shown = "\n".join(f"  {similarity:.3f} {name}" for name, similarity in found) or "  nothing"
        raise AssertionError(f"{query!r} should rank {', '.join(wanted)}, and found:\n{shown}")


def _lines(drift: Drift) -> list[str]:
    lines = [f"  {drift.model} {fault}" for fault in drift.examples]
    lines += [f"  {drift.model} {fault}, but it still waits: call drain() first" for fault in drift.pending_examples]
    lines += [f"  {drift.model} {key}: cannot be rendered: {error}" for key, error in drift.failures]
    more = drift.total + drift.pending + drift.failed - len(lines)
    return [*lines, f"  {drift.model}: {more} more"] if more else lines


def _search(
    query: str, searched: Sequence[type[models.Model]], limit: int, options: dict[str, Any]
) -> list[tuple[str, float]]:
    using = get_settings().database
    if len(searched) == 1:
        from pgknowbase.mixins import rows

        found: Any = rows(searched[0]).using(using).semantic_search(query, limit=limit, **options)
        return [(_name(row), row.similarity) for row in found]
    hits = ExternalData.objects.using(using).search(query, models=searched, limit=limit, **options)
    return [(_name(hit.source_object), hit.similarity) for hit in hits]


def _name(row: models.Model) -> str:
    return f"{row._meta.label} {row.pk} {str(row)!r}"
