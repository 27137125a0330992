"""A list as CSV or JSON, streamed while it is read.

It is read in pages rather than with a server-side cursor, which would hold a transaction open for as long as the client
downloads, and does not work behind a pooler in transaction mode.
"""

import csv
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

PAGE = 500
# A spreadsheet takes a cell that starts with one of these for a formula; the full-width forms in East Asian locales.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class Line:
    """A file for a csv writer that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def export_response(
    request: HttpRequest, rows: "QuerySet[Any]", columns: Mapping[str, str], *, kind: str, time_field: str, name: str
) -> StreamingHttpResponse:
    """``rows`` as ``kind`` (``"csv"`` or ``"json"``), the latest first.

    ``columns`` are lookups by their names in the file, ``time_field`` is the field by which rows are ordered.
    """
    found = pages(rows, columns, time_field=time_field)
    parts = _csv(found, list(columns)) if kind == "csv" else _json(found)
    content: Any = _off_the_loop(parts) if isinstance(request, ASGIRequest) else parts
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(content, content_type=KINDS[kind], headers=headers)


def pages(rows: "QuerySet[Any]", columns: Mapping[str, str], *, time_field: str) -> Iterator[list[dict[str, Any]]]:
    """The values of ``rows``, ``PAGE`` at a time.

    Each page continues after the last row of the one before, by time and key. OFFSET would read all earlier rows again,
    and would skip or repeat rows while new ones arrive.
    """
    rows = rows.select_related(None).order_by(f"-{time_field}", "-pk")
    lookups = [*columns.values(), time_field, "pk"]
    page = rows
    while found := list(page.values_list(*lookups)[:PAGE]):
        yield [dict(zip(columns, row, strict=False)) for row in found]
        *_, last, pk = found[-1]
        earlier = Q(**{f"{time_field}__lt": last}) | Q(**{time_field: last, "pk__lt": pk})
        page = rows.filter(earlier, **{f"{time_field}__lte": last})


def cell(value: Any) -> Any:
    """A value for a spreadsheet. Text that looks like a formula is marked as text, because prompts are untrusted."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        value = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
    if isinstance(value, str):
        value = value.replace("\x00", "")
        return f"'{value}" if value.startswith(FORMULA) or value.lstrip().startswith(FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else value


def _csv(found: Iterator[list[dict[str, Any]]], names: list[str]) -> Iterator[str]:
    writer = csv.writer(Line())
    yield writer.writerow(names)
    for page in found:
        yield "".join(writer.writerow([cell(value) for value in row.values()]) for row in page)


def _json(found: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    before = "[\n"
    for page in found:
        yield before + ",\n".join(json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False) for row in page)
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _next(parts: Iterator[str]) -> str | None:
    return next(parts, None)


async def _off_the_loop(parts: Iterator[str]) -> AsyncIterator[str]:
    while (part := await sync_to_async(_next)(parts)) is not None:
        yield part
