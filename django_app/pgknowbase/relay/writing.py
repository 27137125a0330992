"""Writing: storing what differs between the index and the rendering of some rows."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DataError, OperationalError, transaction
from django.dispatch import Signal

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.transactions import read_committed
from pgknowbase.relay.rendering import Rendering, describe
from pgknowbase.signals import external_data_failed, external_data_removed, external_data_synced
from pgknowbase.sources.registry import Source

logger = logging.getLogger("pgknowbase.relay")

OUTCOMES = ("created", "updated", "metadata", "unchanged", "removed")
# Characters of JSON: far below what Postgres can parse at once, and what parsing costs in memory there.
LARGEST_STATEMENT = 16_000_000


@dataclass
class SyncReport:
    """What one synchronisation did, in objects.

    ``metadata`` counts objects of which something other than the text has changed. ``failures`` holds (object key,
    error) pairs, which the worker retries. ``absent`` holds the keys without a row. ``requeued`` counts objects all
    of whose chunks are to be embedded anew. ``embedded`` counts texts that got a new vector: none, unless the call
    waited for that.
    """

    created: int = 0
    updated: int = 0
    metadata: int = 0
    unchanged: int = 0
    removed: int = 0
    requeued: int = 0
    embedded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def counts(self) -> dict[str, int]:
        """The number of objects by outcome."""
        return {name: getattr(self, name) for name in (*OUTCOMES, "failed")}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, other: "SyncReport") -> None:
        """Add the figures of ``other`` to these."""
        for name in (*OUTCOMES, "requeued", "embedded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures += other.failures
        self.absent += other.absent


def write_rendering(
    source: Source, keys: Sequence[str], rendering: Rendering, using: str, *, force: bool = False
) -> SyncReport:
    """Write what differs between the index and the rendering of ``keys``, whose objects are locked.

    Objects without a record are removed. One that failed keeps what was indexed of it, with the error and the time of
    the next attempt.

    Args:
        force: requeue the documents, so that every chunk is embedded anew even where its text is the same.
    """
    content_type_id = source.content_type_id(using)
    report = SyncReport(failures=rendering.failures, absent=rendering.absent)
    records = rendering.records
    if 0 < len(records) < len(keys):
        # Some are written and some removed, in two statements: the rows are locked in one order first.
        gateway.fetch(using, "lock_documents", source=content_type_id, object_keys=list(keys))
    for part in _portions(records):
        _apply(source, content_type_id, part, using, report)
    failed = {key for key, _ in report.failures}
    if force and (written := [key for key in records if key not in failed]):
        gateway.fetch(using, "requeue", source=content_type_id, object_keys=written, anew=True)
        report.requeued = len(written)
    gone = [key for key in keys if key not in records and key not in failed]
    _remove(source, content_type_id, gone, using, report)
    _record_failures(source, content_type_id, using, report)
    return report


def remove_keys(source: Source | None, content_type_id: int, keys: Sequence[str], using: str) -> SyncReport:
    """Take objects out of the index, in a transaction of their own; ``source`` is None where their model is gone."""
    report = SyncReport()
    wanted = sorted(set(keys))
    with read_committed(using):
        gateway.fetch(using, "lock_objects", source=content_type_id, object_keys=wanted)
        _remove(source, content_type_id, wanted, using, report)
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
        # A savepoint, because a value that Postgres refuses would abort the transaction of the whole batch.
        with transaction.atomic(using=using):
            rows = f"[{','.join(records.values())}]"
            written = gateway.fetch_large(using, "apply", source=content_type_id, rows=rows, refresh_seconds=seconds)
    except (DataError, OperationalError) as error:
        if not _concerns_values(error):
            raise
        # One record is at fault: halving the batch finds it in a logarithmic number of statements.
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
    """Whether Postgres refused a value (class 22) or found it too large (class 54): the same row would fail again."""
    return str(getattr(error.__cause__, "sqlstate", None))[:2] in {"22", "54"}


def _remove(source: Source | None, content_type_id: int, keys: list[str], using: str, report: SyncReport) -> None:
    if not keys:
        return
    for key, _ in gateway.fetch(using, "remove", source=content_type_id, object_keys=keys):
        report.removed += 1
        if source is not None:
            _after_commit(using, external_data_removed, source, object_key=key)


def _record_failures(source: Source, content_type_id: int, using: str, report: SyncReport) -> None:
    if not report.failures:
        return
    retry = get_settings().worker.retry
    keys, errors = zip(*report.failures, strict=True)
    gateway.fetch(
        using,
        "fail",
        source=content_type_id,
        object_keys=list(keys),
        errors=list(errors),
        max_attempts=retry.max_attempts,
        delay=retry.delay,
        max_delay=retry.max_delay,
    )
    for key, error in report.failures:
        logger.warning("%s %s could not be rendered: %s", source.label, key, error)
        _after_commit(using, external_data_failed, source, object_key=key, error=error)


def _after_commit(using: str, signal: Signal, source: Source, **values: Any) -> None:
    if signal.receivers:  # most projects have none, and a callback per object is not free
        send = partial(signal.send_robust, sender=source.model, **values)
        transaction.on_commit(send, using=using, robust=True)
