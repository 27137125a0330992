"""Bringing objects of one source model into step with their committed rows."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from django.db import DataError, OperationalError, transaction
from django.dispatch import Signal

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.keys import normal_key
from pgknowbase.registry import Source
from pgknowbase.relay import statistics
from pgknowbase.relay.rendering import SpoiledTransactionError, describe, render_rows
from pgknowbase.relay.transactions import fresh_reads, queued_last
from pgknowbase.signals import external_data_failed, external_data_removed, external_data_synced

logger = logging.getLogger("pgknowbase.relay")

Answer = TypeVar("Answer")

OUTCOMES = ("created", "updated", "metadata", "unchanged", "removed")
# Characters of JSON: far from what Postgres can parse at once, and from what it costs in memory there.
LARGEST_STATEMENT = 16_000_000


@dataclass
class SyncReport:
    """What one synchronisation did, in objects.

    ``failures`` holds (object key, error) pairs; they are retried by the worker. ``embedded`` counts texts that got a
    new vector meanwhile: none, unless it waited for that.
    """

    created: int = 0
    updated: int = 0
    metadata: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def counts(self) -> dict[str, int]:
        """The number of objects by what became of them."""
        return {name: getattr(self, name) for name in (*OUTCOMES, "failed")}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, other: "SyncReport") -> None:
        """Add the figures of ``other`` to these."""
        for name in OUTCOMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures += other.failures


def sync_objects(
    source: Source, keys: Iterable[str], using: str, *, force: bool = False, careful: bool = False
) -> SyncReport:
    """Lock the objects, read their committed rows, render them, and write what differs.

    Must run inside ``fresh_reads``. A hook that raises fails its own object only; ``careful`` gives each a savepoint.

    Raises:
        SpoiledTransactionError: a hook's query failed; roll back and call again with ``careful``.
    """
    wanted = sorted({normal_key(source.model, key) for key in keys})
    content_type_id = source.content_type_id(using)
    gateway.fetch(using, gateway.LOCK_OBJECTS, content_type_id, wanted)
    rendering = render_rows(source, wanted, using, careful=careful)
    report = SyncReport(failures=rendering.failures)
    records = rendering.records
    if 0 < len(records) < len(wanted):
        gateway.fetch(using, gateway.LOCK_DOCUMENTS, content_type_id, wanted)
    for part in _portions(records):
        _apply(source, content_type_id, part, using, report)
    failed = {key for key, _ in report.failures}
    if force and (written := [key for key in records if key not in failed]):
        gateway.fetch(using, gateway.REQUEUE, content_type_id, written, True)
    gone = [key for key in wanted if key not in records and key not in failed]
    _remove(source, content_type_id, gone, using, report)
    _record_failures(source, content_type_id, using, report)
    statistics.record(source.label, rendering.meter, using)
    return report


def _portions(records: dict[str, str]) -> Iterator[dict[str, str]]:
    """The records in parts that one statement can carry."""
    part: dict[str, str] = {}
    size = 0
    for key, record in records.items():
        if part and size + len(record) > LARGEST_STATEMENT:
            yield part
            part, size = {}, 0
        part[key] = record
        size += len(record)
    if part:
        yield part


def _apply(source: Source, content_type_id: int, records: dict[str, str], using: str, report: SyncReport) -> None:
    refresh = source.config.refresh_after
    seconds = refresh.total_seconds() if refresh is not None else None
    try:
        with transaction.atomic(using=using):
            written = gateway.fetch(using, gateway.APPLY, content_type_id, f"[{','.join(records.values())}]", seconds)
    except (DataError, OperationalError) as error:
        if not _concerns_values(error):
            raise
        keys = list(records)
        if len(keys) == 1:
            report.failures.append((keys[0], describe(error)))
            return
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            _apply(source, content_type_id, {key: records[key] for key in half}, using, report)
        return
    for key, outcome, external_data_id in written:
        setattr(report, outcome, getattr(report, outcome) + 1)
        _after_commit(
            using,
            external_data_synced,
            source,
            object_key=key,
            outcome=outcome,
            external_data_id=external_data_id,
        )
    report.unchanged += len(records) - len(written)


def _concerns_values(error: Exception) -> bool:
    """Whether Postgres refuses a value (class 22) or finds it too large (54), which the same row will meet again."""
    return str(getattr(error.__cause__, "sqlstate", None))[:2] in {"22", "54"}


def _remove(source: Source | None, content_type_id: int, keys: list[str], using: str, report: SyncReport) -> None:
    if not keys:
        return
    for key, _ in gateway.fetch(using, gateway.REMOVE, content_type_id, keys):
        report.removed += 1
        if source is not None:
            _after_commit(using, external_data_removed, source, object_key=key)


def _record_failures(source: Source, content_type_id: int, using: str, report: SyncReport) -> None:
    if not report.failures:
        return
    worker = get_settings().worker
    keys, errors = zip(*report.failures, strict=True)
    gateway.fetch(
        using,
        gateway.FAIL,
        content_type_id,
        list(keys),
        list(errors),
        worker.max_attempts,
        worker.retry_delay,
        worker.retry_delay_max,
    )
    for key, error in report.failures:
        logger.warning("%s %s could not be rendered: %s", source.label, key, error)
        _after_commit(using, external_data_failed, source, object_key=key, error=error)


def _after_commit(using: str, signal: Signal, source: Source, **values: Any) -> None:
    if signal.receivers:
        send = partial(signal.send_robust, sender=source.model, **values)
        transaction.on_commit(send, using=using, robust=True)


def sync_keys(
    source: Source, keys: Sequence[str], using: str, *, force: bool = False, backfill: bool = False
) -> SyncReport:
    """``sync_objects`` in a transaction of its own, with savepoints where a hook's query fails.

    ``backfill``: the executor takes fresh documents before these.

    Raises:
        IsolationError: the caller's open transaction reads an old state of the rows.
    """

    def attempt(careful: bool) -> SyncReport:
        with fresh_reads(using), queued_last(using, backfill):
            return sync_objects(source, keys, using, force=force, careful=careful)

    return carefully_if_needed(attempt)


def carefully_if_needed(attempt: Callable[[bool], Answer]) -> Answer:
    """``attempt(False)``, and ``attempt(True)`` where a hook's failed query has spoiled its transaction."""
    try:
        return attempt(False)
    except SpoiledTransactionError:
        return attempt(True)


def remove_keys(source: Source | None, content_type_id: int, keys: Sequence[str], using: str) -> SyncReport:
    """Take objects out of the index, in a transaction of their own; ``source`` is None where their model is gone."""
    report = SyncReport()
    wanted = sorted(set(keys))
    with fresh_reads(using):
        gateway.fetch(using, gateway.LOCK_OBJECTS, content_type_id, wanted)
        _remove(source, content_type_id, wanted, using, report)
    return report
