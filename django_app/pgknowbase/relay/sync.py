"""Bringing objects of one source model into step with their committed rows."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from django.db import DataError, connections, transaction
from psycopg.pq import TransactionStatus

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.keys import normal_key, parse_keys
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source
from pgknowbase.relay.render import render
from pgknowbase.signals import external_data_failed, external_data_removed, external_data_synced

logger = logging.getLogger("pgknowbase.relay")

Answer = TypeVar("Answer")


OUTCOMES = ("created", "updated", "metadata", "unchanged", "removed")


class SpoiledTransactionError(PgKnowbaseError):
    """A hook's failed query has spoiled the batch's transaction: render each row behind a savepoint."""


@dataclass
class SyncReport:
    """What one synchronisation did. ``failures`` holds (object key, error) pairs; they are retried by the worker."""

    created: int = 0
    updated: int = 0
    metadata: int = 0
    unchanged: int = 0
    removed: int = 0
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

    Must run inside a transaction. A hook that raises fails its own object only; ``careful`` gives each a savepoint.

    Raises:
        SpoiledTransactionError: a hook's query failed; roll back and call again with ``careful``.
    """
    wanted = sorted({normal_key(source.model, key) for key in keys})
    content_type_id = source.content_type_id(using)
    gateway.fetch(using, gateway.LOCK_OBJECTS, content_type_id, wanted)
    report = SyncReport()
    records = render_objects(source, wanted, using, report, careful=careful)
    _apply(source, content_type_id, records, using, report)
    if force and records:
        gateway.fetch(using, gateway.REQUEUE, content_type_id, list(records), True)
    failed = {key for key, _ in report.failures}
    _remove(
        source,
        content_type_id,
        [key for key in wanted if key not in records and key not in failed],
        using,
        report,
    )
    _record_failures(source, content_type_id, using, report)
    return report


def render_objects(
    source: Source, keys: Sequence[str], using: str, report: SyncReport, *, careful: bool = False
) -> dict[str, str]:
    """The records that ``pgknowbase_apply_v1`` reads, by key; without those of rows that are gone or kept out.

    What cannot be rendered is added to ``report.failures``. Raises as ``sync_objects``.
    """
    records: dict[str, str] = {}
    for key, row in _load(source, keys, using, careful, report).items():
        try:
            rendered = _guarded(partial(render, source, row), using, careful)
            if rendered is not None:
                records[key] = rendered.as_json()
        except SpoiledTransactionError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; it is recorded on the object
            report.failures.append((key, describe(error)))
    return records


def describe(error: BaseException) -> str:
    """The error as it is kept on an object."""
    return f"{type(error).__name__}: {error}"[:2000].replace("\x00", "")


def _load(source: Source, keys: Sequence[str], using: str, careful: bool, report: SyncReport) -> dict[str, SourceRow]:
    """The rows of ``keys`` that exist, by the model's ``get_external_queryset``; if that raises, all have failed."""
    pks = parse_keys(source.model, keys)
    try:
        rows = _guarded(
            lambda: list(source.model.get_external_queryset().using(using).filter(pk__in=pks)), using, careful
        )
    except SpoiledTransactionError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's queryset may raise anything; other models go on
        report.failures += [(key, describe(error)) for key in keys]
        return {}
    return {row.external_source_id: row for row in rows}


def _guarded(call: Callable[[], Answer], using: str, careful: bool) -> Answer:
    if careful:
        with transaction.atomic(using=using):
            return call()
    try:
        return call()
    except Exception as error:  # raised again below, either way
        raw: Any = connections[using].connection
        if raw is not None and raw.info.transaction_status == TransactionStatus.INERROR:
            raise SpoiledTransactionError(describe(error)) from error
        raise


def _apply(source: Source, content_type_id: int, records: dict[str, str], using: str, report: SyncReport) -> None:
    if not records:
        return
    try:
        with transaction.atomic(using=using):
            written = gateway.fetch(using, gateway.APPLY, content_type_id, f"[{','.join(records.values())}]")
    except DataError as error:
        if len(records) == 1:
            report.failures.append((next(iter(records)), describe(error)))
            records.clear()
            return
        keys = list(records)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            part = {key: records[key] for key in half}
            _apply(source, content_type_id, part, using, report)
            for key in set(half) - set(part):
                del records[key]
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


def _after_commit(using: str, signal: Any, source: Source, **values: Any) -> None:
    if signal.receivers:
        transaction.on_commit(lambda: _send(signal, source, values), using=using, robust=True)


def _send(signal: Any, source: Source, values: dict[str, Any]) -> None:
    for receiver, answer in signal.send_robust(sender=source.model, **values):
        if isinstance(answer, Exception):
            logger.error("receiver %r of %s raised", receiver, source.label, exc_info=answer)


def sync_keys(source: Source, keys: Sequence[str], using: str, *, force: bool = False) -> SyncReport:
    """``sync_objects`` in a transaction of its own, with savepoints where a hook's query fails."""

    def attempt(careful: bool) -> SyncReport:
        with transaction.atomic(using=using):
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
    with transaction.atomic(using=using):
        gateway.fetch(using, gateway.LOCK_OBJECTS, content_type_id, wanted)
        _remove(source, content_type_id, wanted, using, report)
    return report
