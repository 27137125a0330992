"""Bringing rows into the index by hand: one row, a whole model, and what the index knows without a row."""

from collections.abc import Iterator
from itertools import islice

from django.db import models

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.keys import object_key, parse_keys
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source, source_of
from pgknowbase.relay.sync import SyncReport, remove_keys, sync_keys
from pgknowbase.relay.waiting import Awaited
from pgknowbase.relay.waiting import wait as wait_for


def row_keys(source: Source, using: str, batch_size: int) -> Iterator[list[str]]:
    """The object keys of a model's rows, in batches, in the order of the primary key."""
    rows = source.model._base_manager.using(using).order_by("pk").values_list("pk", flat=True)
    page = list(rows[:batch_size])
    while page:
        yield [object_key(pk) for pk in page]
        # Not iterator(): its server-side cursor does not survive pgbouncer's transaction mode.
        page = list(rows.filter(pk__gt=page[-1])[:batch_size])


def orphaned_keys(source: Source, using: str, batch_size: int) -> Iterator[list[str]]:
    """The object keys that the index knows of a model but that have no row, in batches."""
    last: str | None = None
    rows = source.model._base_manager.using(using)
    while page := gateway.fetch(using, gateway.KNOWN_KEYS, source.content_type_id(using), last, batch_size):
        known = [row[0] for row in page]
        alive = {
            object_key(pk) for pk in rows.filter(pk__in=parse_keys(source.model, known)).values_list("pk", flat=True)
        }
        if orphans := [key for key in known if key not in alive]:
            yield orphans
        last = known[-1]


def sync_model(
    model: type[models.Model], *, limit: int | None = None, force: bool = False, batch_size: int = 500
) -> SyncReport:
    """See ``ExternalDataMixin.sync_all_external_data``."""
    using = get_settings().database
    source = source_of(model)
    report = SyncReport()
    keys = (key for batch in row_keys(source, using, batch_size) for key in batch)
    wanted = keys if limit is None else islice(keys, limit)
    while batch := list(islice(wanted, batch_size)):
        report.add(sync_keys(source, batch, using, force=force, backfill=True))
    return report


def sync_instance(row: SourceRow, *, force: bool = False, wait: bool = False, timeout: float = 30.0) -> SyncReport:
    """See ``ExternalDataMixin.sync_to_external_data``."""
    using = row._state.db or get_settings().database
    return sync_object(
        source_of(row._meta.model), row.external_source_id, using, force=force, wait=wait, timeout=timeout
    )


def sync_object(
    source: Source, key: str, using: str, *, force: bool = False, wait: bool = False, timeout: float = 30.0
) -> SyncReport:
    """Bring one object into step with its committed row; with ``wait``, embed it too.

    Raises:
        IsolationError: the caller's open transaction reads an old state of the row.
        NotYetIndexedError: with ``wait``, it is not searchable after ``timeout`` seconds.
    """
    report = sync_keys(source, [key], using, force=force)
    if wait and not report.failures:
        from pgknowbase.vectorizer.executor import Executor

        awaited = Awaited(source, key, using, events=False)
        with Executor(using) as executor:

            def step() -> None:
                report.embedded += executor.run_document(source.content_type_id(using), key).embedded

            wait_for(awaited, timeout=timeout, step=step)
    return report


def remove_instance(row: SourceRow) -> bool:
    """See ``ExternalDataMixin.remove_from_external_data``."""
    using = row._state.db or get_settings().database
    source = source_of(row._meta.model)
    report = remove_keys(source, source.content_type_id(using), [row.external_source_id], using)
    return report.removed == 1
