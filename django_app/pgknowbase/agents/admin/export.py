"""A list as CSV or JSON, sent while it is read, page after page: no cursor stays open, whatever the pooler."""

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
# A spreadsheet takes a cell that begins so for a formula; the wide ones too, in East Asian settings.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class Line:
    """What a csv writer writes to: it gives the line back."""

    def write(self, line: str) -> str:
        return line


def exported(
    request: HttpRequest, rows: "QuerySet[Any]", columns: Mapping[str, str], *, kind: str, moment: str, name: str
) -> StreamingHttpResponse:
    """``rows`` as ``kind`` (``"csv"`` or ``"json"``), the latest first.

    ``columns``: lookups by the names that they get. ``moment``: the field by whose time rows are ordered.
    """
    found = pages(rows, columns, moment=moment)
    parts = _csv(found, list(columns)) if kind == "csv" else _json(found)
    content: Any = _off_the_loop(parts) if isinstance(request, ASGIRequest) else parts
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(content, content_type=KINDS[kind], headers=headers)


def pages(rows: "QuerySet[Any]", columns: Mapping[str, str], *, moment: str) -> Iterator[list[dict[str, Any]]]:
    """The values of ``rows``, ``PAGE`` at a time."""
    rows = rows.select_related(None).order_by(f"-{moment}", "-pk")
    lookups = [*columns.values(), moment, "pk"]
    page = rows
    while found := list(page.values_list(*lookups)[:PAGE]):
        yield [dict(zip(columns, row, strict=False)) for row in found]
        *_, last, pk = found[-1]
        earlier = Q(**{f"{moment}__lt": last}) | Q(**{moment: last, "pk__lt": pk})
        page = rows.filter(earlier, **{f"{moment}__lte": last})


def cell(value: Any) -> Any:
    """A value for a spreadsheet: text that looks like a formula is marked as text."""
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
