"""The routes of knowledge: search, similar, fetch, sync, status."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field, Json

from pgknowbase.api.callers import ANONYMOUS, caller_of
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.parameters import check_names
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError, SearchError
from pgknowbase.keys import object_key, parse_key
from pgknowbase.knowledge import FetchedDocument, Question, SearchPage, service
from pgknowbase.registry import Source
from pgknowbase.relay.requests import ExternalDataSyncRequest, ExternalDataSyncResponse, carry_out
from pgknowbase.relay.sync import sync_keys
from pgknowbase.search.metadata import shown, storable
from pgknowbase.status import IndexStatus, index_status

CHANGE = "pgknowbase.change_externaldata"
VIEW = "pgknowbase.view_externaldata"
MOST_KEYS = 100

router = Router(tags=["knowledge"])

UserId = Annotated[
    int | str | None, Field(None, description="Search as this user; needs the permission to act for others.")
]


class SearchRequest(Question):
    """A search, and for whom."""

    user_id: UserId = None


class SearchParameters(Question):
    """A search in the query part of the address."""

    metadata: Json[dict[str, Any]] | None = Field(None, description="Conditions on metadata, as JSON.")


class SimilarParameters(service.Narrowing):
    """What is to be similar to which object."""

    model: str = Field(description="Its source model.", examples=["blog.Article"])
    key: str = Field(description="Its primary key, a JSON array for a composite one.", examples=["12"])
    metadata: Json[dict[str, Any]] | None = Field(None, description="Conditions on metadata, as JSON.")


class DocumentParameters(BaseModel):
    """Which object, and which part of its text."""

    model: str = Field(description="Its source model.", examples=["blog.Article"])
    key: str = Field(description="Its primary key, a JSON array for a composite one.", examples=["12"])
    start: int = Field(0, ge=0, le=1_000_000_000)
    length: int = Field(service.LONGEST_TEXT, ge=1, le=service.LONGEST_TEXT)


class SyncBatchRequest(BaseModel):
    """Bring some rows of one model into the index."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_name: str = Field(min_length=1, examples=["blog.Article"])
    model_ids: list[int | str] = Field(min_length=1, max_length=MOST_KEYS)
    force_update: bool = Field(False, description="Embed every chunk anew.")


class SyncFailure(BaseModel):
    """A row that could not be rendered; the worker tries again."""

    object_key: str
    error: str


class SyncBatchResponse(BaseModel):
    """What became of the rows, counted. A worker embeds what is new."""

    created: int
    updated: int
    metadata: int
    unchanged: int
    removed: int
    failures: list[SyncFailure]


@router.get("search/", response=SearchPage, operation_id="searchByUrl", openapi_extra=ANONYMOUS)
def search_by_url(request: HttpRequest, asked: Query[SearchParameters]) -> SearchPage:
    """Search, with everything in the address. Metadata conditions are JSON."""
    check_names(request, SearchParameters)
    caller = caller_of(request)
    caller.require("search")
    _check_limit(asked)
    return service.search(asked, viewer=caller.user)


@router.post("search/", response=SearchPage, operation_id="search", openapi_extra=ANONYMOUS)
def search(request: HttpRequest, asked: SearchRequest) -> SearchPage:
    """Search what the caller may see: by meaning, by words or by both."""
    caller = caller_of(request)
    caller.require("search")
    _check_limit(asked)
    return service.search(asked, viewer=caller.acting_as(asked.user_id))


@router.get("similar/", response=SearchPage, operation_id="similar", openapi_extra=ANONYMOUS)
def similar(request: HttpRequest, asked: Query[SimilarParameters]) -> SearchPage:
    """What is most like an object that the caller may see."""
    check_names(request, SimilarParameters)
    caller = caller_of(request)
    caller.require("search")
    _check_limit(asked)
    return service.similar(asked.model, asked.key, asked, viewer=caller.user)


@router.get("document/", response=FetchedDocument, operation_id="document", openapi_extra=ANONYMOUS)
def document(request: HttpRequest, asked: Query[DocumentParameters]) -> FetchedDocument:
    """The text of an object that the caller may see, in parts."""
    check_names(request, DocumentParameters)
    caller = caller_of(request)
    caller.require("search")
    return service.fetch(asked.model, asked.key, viewer=caller.user, start=asked.start, length=asked.length)


@router.post("sync/", response=ExternalDataSyncResponse, operation_id="sync")
@idempotent
def sync(request: HttpRequest, asked: ExternalDataSyncRequest) -> ExternalDataSyncResponse:
    """Bring one row into the index, or take it out. A worker embeds it. Heeds Idempotency-Key."""
    caller_of(request).require("sync", CHANGE)
    source = service.source_named(asked.model_name)
    _key(source, asked.model_id)
    return carry_out(asked)


@router.post("sync/batch/", response=SyncBatchResponse, operation_id="syncBatch")
@idempotent
def sync_batch(request: HttpRequest, asked: SyncBatchRequest) -> SyncBatchResponse:
    """Bring up to 100 rows of one model into the index. A worker embeds them. Heeds Idempotency-Key."""
    caller_of(request).require("sync", CHANGE)
    source = service.source_named(asked.model_name)
    keys = [_key(source, one) for one in asked.model_ids]
    report = sync_keys(source, keys, get_settings().database, force=asked.force_update)
    return SyncBatchResponse(
        created=report.created,
        updated=report.updated,
        metadata=report.metadata,
        unchanged=report.unchanged,
        removed=report.removed,
        failures=[SyncFailure(object_key=key, error=error) for key, error in report.failures],
    )


@router.get("status/", response=IndexStatus, operation_id="status")
def status(request: HttpRequest) -> IndexStatus:
    """How far the index is, per source model; the active embedding space; the workers."""
    caller_of(request).require("status", VIEW)
    return index_status(get_settings().database)


def _check_limit(asked: service.Narrowing) -> None:
    most = min(get_settings().api.max_limit, get_settings().search.max_limit)
    if asked.limit > most:
        raise SearchError(f"limit {asked.limit} is out of range: pass a whole number from 1 to {most}.")


def _key(source: Source, model_id: int | str) -> str:
    key = str(model_id)
    try:
        if storable(key):
            return object_key(parse_key(source.model, key))
    except PgKnowbaseError as error:
        raise SearchError(str(error)) from error
    raise SearchError(f"The key {shown(key)} holds a NUL or a lone surrogate: remove it.")
