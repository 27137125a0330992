"""Synchronising one object by request: the request, its response, and carrying it out."""

import time

from pydantic import BaseModel, Field

from pgknowbase.conf import get_settings
from pgknowbase.core.keys import object_key, parse_key
from pgknowbase.core.strict import StrictModel
from pgknowbase.models import ExternalData
from pgknowbase.relay.writing import SyncReport
from pgknowbase.sources.registry import source_by_label
from pgknowbase.sync.backfill import sync_object

MESSAGES = {
    "created": "New in the index",
    "updated": "The text has changed",
    "metadata": "Something other than the text has changed",
    "unchanged": "Nothing has changed",
    "removed": "Removed from the index: its hooks keep it out",
}


class ExternalDataSyncRequest(StrictModel):
    """A request to bring one row into the index.

    ``model_id`` is the primary key, a JSON array as text for a composite one. ``force_update`` embeds every chunk anew.
    """

    model_name: str = Field(min_length=1, examples=["blog.Article"])
    model_id: int | str
    force_update: bool = False


class ExternalDataSyncResponse(BaseModel):
    """What was done. ``processing_time`` is in seconds; ``chunks_created`` counts chunks that got a new vector.

    ``success`` is false where the row could not be rendered, and where neither a row nor an object of it was there.
    """

    success: bool
    external_data_id: int | None
    message: str
    processing_time: float
    chunks_created: int


def run_sync_request(
    request: ExternalDataSyncRequest, *, wait: bool = False, timeout: float = 30.0
) -> ExternalDataSyncResponse:
    """Render the row now; ``wait`` embeds it too, else a worker does.

    Raises:
        ConfigurationError: there is no such source model.
        PgKnowbaseError: ``model_id`` is not a key of it.
        NotYetIndexedError: with ``wait``, it is not searchable after ``timeout`` seconds.
    """
    started = time.perf_counter()
    using = get_settings().database
    source = source_by_label(request.model_name)
    key = object_key(source.model, parse_key(source.model, str(request.model_id)))
    report = sync_object(source, key, using, force=request.force_update, wait=wait, timeout=timeout)
    known = ExternalData.objects.using(using).filter(content_type_id=source.content_type_id(using), object_key=key)
    return ExternalDataSyncResponse(
        success=not report.failures and not (report.absent and not report.removed),
        external_data_id=known.values_list("pk", flat=True).first(),
        message=_message(report),
        processing_time=time.perf_counter() - started,
        chunks_created=report.embedded,
    )


def _message(report: SyncReport) -> str:
    if report.failures:
        return report.failures[0][1]
    if report.absent:
        return "Removed from the index: no row has this key." if report.removed else "No row has this key."
    outcome = next((name for name, count in report.counts.items() if count), "")
    said = MESSAGES.get(outcome, "Not in the index: its hooks keep it out")
    if report.embedded:
        said += f"; {report.embedded} chunks embedded"
    elif report.requeued:
        said += "; a worker embeds all its chunks anew"
    return f"{said}."
