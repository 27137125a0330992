"""The page of one object, beside its fields: document text, chunks, nearest objects, and the source row."""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.db import transaction
from django.db.models.functions import Left, Length
from django.http import HttpRequest

from pgknowbase.admin.display import change_url, may_open, model_label, type_name
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError, ServerDownError
from pgknowbase.models import Chunk, Document, ExternalData
from pgknowbase.search.filters import Filters
from pgknowbase.search.queries import Page, SimilarQuery, hits
from pgknowbase.spaces.specification import active_space

SHOWN_AT_ONCE = 3_000
LONGEST_TEXT = 200_000
CHUNKS = 50
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class LongText:
    """A text of ``length`` characters: ``head`` is shown, ``rest`` unfolds, ``omitted`` are not shown."""

    head: str
    rest: str
    length: int

    @property
    def omitted(self) -> int:
        return self.length - len(self.head) - len(self.rest)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """The row that an object stands for. ``known``: its model is installed; ``url``: its own admin page."""

    label: str
    known: bool
    exists: bool
    url: str | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of the most similar objects, with its cosine similarity."""

    data: ExternalData
    url: str
    source: str
    similarity: float


def page_context(data: ExternalData, site: AdminSite, request: HttpRequest) -> dict[str, Any]:
    """The template's context for one object."""
    using = data._state.db or get_settings().database
    space = active_space(using)
    server_down = ""
    document: LongText | None = None
    chunks: list[Chunk] = []
    try:
        document = _document(data, using)
        chunks = list(data.chunks[: CHUNKS + 1]) if space else []
    except ServerDownError as error:
        server_down = str(error)
    return {
        "space": space,
        "document": document,
        "server_down": server_down,
        "source_row": source_row(data, site, request),
        "chunks": [(chunk, long_text(chunk.text, len(chunk.text))) for chunk in chunks[:CHUNKS]],
        "more_chunks": len(chunks) > CHUNKS,
        "neighbours": _neighbours(data, chunks, using, site),
    }


def long_text(known: str, length: int) -> LongText:
    """``known`` cut in two at a space, where it is long; ``length`` is that of the whole text."""
    if len(known) <= SHOWN_AT_ONCE:
        return LongText(known, "", length)
    space = max(known.rfind(" ", 0, SHOWN_AT_ONCE), known.rfind("\n", 0, SHOWN_AT_ONCE)) + 1
    cut = space if space > SHOWN_AT_ONCE - 200 else SHOWN_AT_ONCE
    return LongText(known[:cut], known[cut:], length)


def _document(data: ExternalData, using: str) -> LongText | None:
    rows = Document.objects.using(using).filter(source=data.content_type_id, id=data.object_key)
    found = rows.values_list(Left("content", LONGEST_TEXT), Length("content")).first()
    if found and found[0] is None:  # it lies on another server
        text = data.content
        found = text[:LONGEST_TEXT], len(text)
    return long_text(*found) if found else None


def source_row(data: ExternalData, site: AdminSite, request: HttpRequest) -> SourceRow:
    """The row that ``data`` stands for, with its admin page where the user may open it."""
    model = data.source_model
    if model is None:
        return SourceRow("", known=False, exists=False, url=None)
    try:
        row = data.source_object
    except PgKnowbaseError:
        row = None
    url = change_url(site, model, row.pk) if row is not None and may_open(site, model, request) else None
    return SourceRow(model._meta.label, known=True, exists=row is not None, url=url)


def _neighbours(data: ExternalData, chunks: list[Chunk], using: str, site: AdminSite) -> list[Neighbour]:
    if not chunks:
        return []
    like = SimilarQuery(((data.content_type_id, data.object_key),))
    try:
        # A savepoint: a statement that fails must not abort the transaction that renders the rest of the page.
        with transaction.atomic(using=using):
            nearest = hits(like, using, Page(NEIGHBOURS), Filters(threshold=-1))
    except PgKnowbaseError:
        return []
    # One query for all neighbours instead of one for each.
    rows = ExternalData.objects.using(using).select_related("content_type")
    found = rows.in_bulk([hit.external_data_id for hit in nearest])
    return [
        Neighbour(
            near,
            url=change_url(site, ExternalData, near.pk),
            source=model_label(near.source_model, type_name(near.content_type)),
            similarity=hit.score,
        )
        for hit in nearest
        if (near := found.get(hit.external_data_id)) is not None and hit.score is not None
    ]
