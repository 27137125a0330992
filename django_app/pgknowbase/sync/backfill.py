"""Backfill: bringing rows into the index without an event, one row or a whole model."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from django.db import models

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.keys import key_page, normal_key, object_key, parse_key, parse_keys
from pgknowbase.core.server_limits import describe_limit, in_portions
from pgknowbase.core.transactions import as_backfill, read_committed
from pgknowbase.relay.relay import sync_objects
from pgknowbase.relay.writing import SyncReport
from pgknowbase.sources.registry import Source, source_of
from pgknowbase.sync.waiting import PendingObject, wait_until_searchable
from pgknowbase.vectorizer.executor import Executor


def row_keys(source: Source, using: str, batch_size: int, *, after: str | None = None) -> Iterator[list[str]]:
    """The object keys of a model's rows, in batches of ``batch_size``, in the order of the primary key.

    Args:
        after: the object key of the row after which they begin; it need not exist.
    """
    if after is not None:
        parse_key(source.model, after)  # raises where it is not a key
    rows = source.model._base_manager.using(using)
    # Not iterator(): its server-side cursor does not survive pgbouncer's transaction mode.
    page, last = key_page(rows, after, batch_size)
    while page:
        yield page
        page, last = key_page(rows, last, batch_size) if last is not None else ([], None)


def orphaned_keys(source: Source, using: str, batch_size: int) -> Iterator[list[str]]:
    """The object keys that the index knows of a model but that have no row, in batches."""
    last: str | None = None
    rows = source.model._base_manager.using(using)
    while page := gateway.fetch(
        using, "known_keys", source=source.content_type_id(using), after_key=last, max_keys=batch_size
    ):
        known = [row[0] for row in page]
        alive = {
            object_key(source.model, pk)
            for pk in rows.filter(pk__in=parse_keys(source.model, known)).values_list("pk", flat=True)
        }
        if orphans := [key for key in known if key not in alive]:
            yield orphans
        last = known[-1]


def sync_keys(
    source: Source, keys: Sequence[str], using: str, *, force: bool = False, backfill: bool = False
) -> SyncReport:
    """``sync_objects`` in a transaction of its own, or in several where a time limit of the server is exceeded.

    Args:
        keys: object keys.
        force: requeue the documents, so that every chunk is embedded anew even where its text is the same.
        backfill: embed them after all fresh documents.

    Raises:
        IsolationError: the caller's open transaction may read an old state of the rows.
    """

    def sync(portion: Sequence[str], refused: Mapping[str, str] | None = None) -> SyncReport:
        with read_committed(using), as_backfill(using, backfill):
            return sync_objects(source, portion, using, force=force, refused=refused)

    def refuse(key: str, error: BaseException) -> SyncReport:
        told = describe_limit(error, using, advice="make the hooks of its model faster")
        return sync([key], {normal_key(source.model, key): told})

    report = SyncReport()
    for part in in_portions(sync, keys, using, refuse=refuse):
        report.add(part)
    return report


def sync_model(
    model: type[models.Model], *, limit: int | None = None, force: bool = False, batch_size: int = 500
) -> SyncReport:
    """Bring the rows of a model, at most ``limit``, into step with the index, in batches of one transaction each.

    Their documents are embedded after those of fresh changes. See ``ExternalDataMixin.sync_all_external_data``.
    """
    using = get_settings().database
    source = source_of(model)
    report = SyncReport()
    keys = (key for batch in row_keys(source, using, batch_size) for key in batch)
    wanted = keys if limit is None else islice(keys, limit)
    while batch := list(islice(wanted, batch_size)):
        report.add(sync_keys(source, batch, using, force=force, backfill=True))
    return report


def sync_object(
    source: Source, key: str, using: str, *, force: bool = False, wait: bool = False, timeout: float = 30.0
) -> SyncReport:
    """Bring one object into step with its committed row; with ``wait``, embed it too.

    Args:
        key: the object key.
        force: embed every chunk anew, even where its text is the same.
        wait: return when the object is searchable. It is embedded in this process, unless a worker is faster.
        timeout: seconds for which ``wait`` waits.

    Raises:
        IsolationError: the caller's open transaction may read an old state of the row.
        NotYetIndexedError: with ``wait``, it is not searchable after ``timeout`` seconds.
    """
    report = sync_keys(source, [key], using, force=force)
    if wait and not report.failures:
        pending = PendingObject(source, key, using, rendered=True)
        with Executor(using) as executor:

            def embed() -> None:
                report.embedded += executor.run_document(source.content_type_id(using), key).embedded

            wait_until_searchable(pending, timeout=timeout, before_look=embed)
    return report
