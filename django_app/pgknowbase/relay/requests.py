"""Synchronising one object on request: what comes in, what goes out, and what happens between."""

import time

from pydantic import BaseModel, ConfigDict, Field

from pgknowbase.conf import get_settings
from pgknowbase.keys import object_key, parse_key
from pgknowbase.models import ExternalData
from pgknowbase.registry import source_by_label
from pgknowbase.relay.backfill import sync_object

MESSAGES = {
    "created": "New in the index",
    "updated": "The text has changed",
    "metadata": "Something beside the text has changed",
    "unchanged": "Nothing has changed",
    "removed": "Taken out of the index: there is no such row, or its hooks keep it out",
}


class ExternalDataSyncRequest(BaseModel):
    """Bring one row into the index. ``model_id``: the primary key, a JSON array as text for a composite one."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_name: str = Field(min_length=1, examples=["blog.Article"])
    model_id: int | str
    force_update: bool = False


class ExternalDataSyncResponse(BaseModel):
    """What became of it. ``processing_time``: seconds; ``chunks_created``: chunks that got a new vector meanwhile."""

    success: bool
    external_data_id: int | None
    message: str
    processing_time: float
    chunks_created: int


def carry_out(
    request: ExternalDataSyncRequest, *, wait: bool = False, timeout: float = 30.0
) -> ExternalDataSyncResponse:
    """Render the row now; ``wait`` embeds it too, else a worker does.

    Raises:
        ConfigurationError: there is no such source model.
        PgKnowbaseError: ``model_id`` is no key of it.
        NotYetIndexedError: with ``wait``, it is not searchable after ``timeout`` seconds.
    """
    started = time.perf_counter()
    using = get_settings().database
    source = source_by_label(request.model_name)
    key = object_key(parse_key(source.model, str(request.model_id)))
    report = sync_object(source, key, using, force=request.force_update, wait=wait, timeout=timeout)
    known = ExternalData.objects.using(using).filter(content_type_id=source.content_type_id(using), object_key=key)
    return ExternalDataSyncResponse(
        success=not report.failures,
        external_data_id=known.values_list("pk", flat=True).first(),
        message=_message(report.counts, report.failures),
        processing_time=time.perf_counter() - started,
        chunks_created=report.embedded,
    )


def _message(counts: dict[str, int], failures: list[tuple[str, str]]) -> str:
    if failures:
        return failures[0][1]
    outcome = next((name for name, count in counts.items() if count), "")
    return f"{MESSAGES.get(outcome, 'Not in the index: there is no such row, or its hooks keep it out')}."
