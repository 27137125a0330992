"""The pydantic models of search results, and how rows of ``ExternalData`` become them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.models import ContentType
from django.urls import NoReverseMatch
from pydantic import BaseModel, ConfigDict, Field

from pgknowbase.core.keys import object_key, parse_keys
from pgknowbase.core.times import Instant
from pgknowbase.replicas.freshness import State
from pgknowbase.rerank.stage import RerankState

if TYPE_CHECKING:
    from pgknowbase.models import ExternalData


class Span(BaseModel):
    """Where a chunk stands in its document: characters from ``start`` up to, not including, ``end``."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int


class KnownObject(BaseModel):
    """One source row as the index knows it. ``id``: model and key in one text, for ``fetch`` and ``similar``."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["blog.Article:12"])
    model: str = Field(examples=["blog.Article"])
    object_key: str = Field(examples=["12"])
    title: str
    description: str
    url: str | None = Field(description="What get_absolute_url() of the source row gives, if the model has it.")
    tags: list[str]
    metadata: dict[str, Any]
    is_public: bool
    updated_at: Instant


class SearchResult(KnownObject):
    """An object found, with its best chunk.

    ``similarity``: cosine, in [-1, 1]; ``keyword_score``: BM25; either is null where that ranking did not find it.
    ``score``: what results are ordered by. ``highlighted_title`` and ``snippet``: HTML with ``<mark>`` around the words
    of the query, and everything else escaped; null unless a snippet was asked for. ``rerank_score`` and ``first_rank``:
    what a second stage gave it, and its place before that, from 1; null where there was none. Results are ordered by
    that score then.
    """

    chunk: str | None
    span: Span | None
    similarity: float | None
    keyword_score: float | None
    score: float
    highlighted_title: str | None = None
    snippet: str | None = None
    rerank_score: float | None = None
    first_rank: int | None = None


class SearchPage(BaseModel):
    """Results, best first.

    ``next_cursor``: pass it as ``cursor`` for the next page, which repeats and skips nothing while objects change;
    ``next_offset``: the same as an ``offset``. Both are null on the last page; a page with an offset has no cursor, and
    one with a cursor no offset. ``did_you_mean``: with ``correct_typos``, the query without its typos; null where it
    has none. ``freshness``: of a search with ``fresh``, whether it has what that token stands for: ``fresh``;
    ``pending``: it may not have it yet; ``promoted``: another server is the primary since, and the results have what
    survived. ``rerank``: what became of a second stage: ``done``; ``late`` or ``failed``: the results are in the order
    of the first stage; null where there was none. ``is_partial``: a server of the cluster does not answer, and what is
    on it is missing.
    """

    model_config = ConfigDict(frozen=True)

    results: list[SearchResult]
    limit: int
    offset: int
    next_offset: int | None
    next_cursor: str | None
    did_you_mean: str | None = None
    freshness: State | None = None
    rerank: RerankState | None = None
    is_partial: bool = False


class FetchedDocument(KnownObject):
    """An object with a part of its text. ``next_start``: where the rest begins; null where there is none.

    ``freshness``: as that of a search page.
    """

    text: str
    start: int
    length: int = Field(description="Characters of the whole text.")
    next_start: int | None
    freshness: State | None = None


def results_of(found: Sequence[Any], using: str) -> list[SearchResult]:
    """The rows of a search as results, with a constant number of queries per source model."""
    known = described(found, using)
    return [
        SearchResult(
            **one,
            chunk=row.matched_chunk,
            span=_span(row.matched_span),
            similarity=row.similarity,
            keyword_score=row.keyword_score,
            score=row.score,
            highlighted_title=getattr(row, "highlighted_title", None),
            snippet=getattr(row, "snippet", None),
            rerank_score=getattr(row, "rerank_score", None),
            first_rank=getattr(row, "first_rank", None),
        )
        for one, row in zip(known, found, strict=True)
    ]


def described(found: "Sequence[ExternalData]", using: str) -> list[dict[str, Any]]:
    """The fields of ``KnownObject`` for each of the rows."""
    labels = {one: _label(one, using) for one in {row.content_type_id for row in found}}
    urls = _urls(found, using)
    return [
        {
            "id": f"{labels[row.content_type_id]}:{row.object_key}",
            "model": labels[row.content_type_id],
            "object_key": row.object_key,
            "title": row.title,
            "description": row.description,
            "url": urls.get((row.content_type_id, row.object_key)),
            "tags": row.tags,
            "metadata": row.metadata,
            "is_public": row.is_public,
            "updated_at": row.updated_at,
        }
        for row in found
    ]


def _span(span: Any) -> Span | None:
    return None if span is None else Span(start=span.lower, end=span.upper)


def _label(content_type_id: int, using: str) -> str:
    content_type = ContentType.objects.db_manager(using).get_for_id(content_type_id)
    model = content_type.model_class()
    return f"{content_type.app_label}.{content_type.model}" if model is None else model._meta.label


def _urls(found: "Sequence[ExternalData]", using: str) -> dict[tuple[int, str], str]:
    """The addresses of the source rows, of those models that give any."""
    keys: dict[int, list[str]] = defaultdict(list)
    for row in found:
        keys[row.content_type_id].append(row.object_key)
    urls = {}
    for content_type_id, of_type in keys.items():
        model: Any = ContentType.objects.db_manager(using).get_for_id(content_type_id).model_class()
        if not hasattr(model, "get_absolute_url"):
            continue
        for source_row in model._base_manager.using(using).filter(pk__in=parse_keys(model, of_type)):
            if url := _url(source_row):
                urls[content_type_id, object_key(model, source_row.pk)] = url
    return urls


def _url(source_row: Any) -> str | None:
    try:
        return str(source_row.get_absolute_url())
    except NoReverseMatch:  # the project does not serve that page
        return None
