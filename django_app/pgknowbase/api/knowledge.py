"""The routes of knowledge: search, similar, fetch, sync, status."""

from datetime import date
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field, Json

from pgknowbase.api.authentication import ANONYMOUS, get_caller
from pgknowbase.api.parameters import FRESH, reject_unknown_parameters, with_header
from pgknowbase.conf import get_settings
from pgknowbase.core.keys import object_key, parse_key
from pgknowbase.core.strict import StrictModel
from pgknowbase.core.text import is_storable, short_repr
from pgknowbase.costs.report import CostReport, Dimension, cost_report
from pgknowbase.errors import PgKnowbaseError, SearchError
from pgknowbase.operations.status import IndexStatus, index_status
from pgknowbase.replicas.tokens import token_of_response
from pgknowbase.search import service
from pgknowbase.search.facets import Facets
from pgknowbase.search.questions import FacetQuery, FreshQuery, QueryFilters, SearchQuery
from pgknowbase.search.schemas import FetchedDocument, SearchPage
from pgknowbase.sources.registry import Source
from pgknowbase.sync.backfill import sync_keys
from pgknowbase.sync.requests import ExternalDataSyncRequest, ExternalDataSyncResponse, run_sync_request

CHANGE = "pgknowbase.change_externaldata"
VIEW = "pgknowbase.view_externaldata"
VIEW_COSTS = "pgknowbase.view_dailyusage"
MAX_KEYS = 100

router = Router(tags=["knowledge"])

UserId = Annotated[
    int | str | None, Field(None, description="Search as this user; needs the permission to act for others.")
]


class SearchRequest(SearchQuery):
    """A search, and the user for whom it is done."""

    user_id: UserId = None


class SearchParameters(SearchQuery):
    """A search by GET, with all options in the query string."""

    metadata: Json[dict[str, Any]] | None = Field(None, description="Conditions on metadata, as JSON.")


class FacetRequest(FacetQuery):
    """What to count, and the user for whom it is done."""

    user_id: UserId = None


class FacetParameters(FacetQuery):
    """What to count, by GET, with all options in the query string."""

    metadata: Json[dict[str, Any]] | None = Field(None, description="Conditions on metadata, as JSON.")


class SimilarParameters(QueryFilters):
    """A search for objects similar to a given one."""

    model: str = Field(description="Its source model.", examples=["blog.Article"])
    key: str = Field(description="Its primary key, a JSON array for a composite one.", examples=["12"])
    metadata: Json[dict[str, Any]] | None = Field(None, description="Conditions on metadata, as JSON.")


class SimilarRequest(QueryFilters):
    """A search for objects similar to several together, and the user for whom it is done."""

    ids: list[str] = Field(
        min_length=1,
        max_length=service.MAX_LIKE,
        description="Ids of results.",
        examples=[["blog.Article:12", "blog.Note:3"]],
    )
    user_id: UserId = None


class CostParameters(BaseModel):
    """Since when, and by which name of the ledger."""

    since: date | None = Field(None, description="First day; without it all days.")
    by: Dimension = Field("day", description="What each row is about.")


class DocumentParameters(FreshQuery):
    """An object, and the part of its text to return."""

    model: str = Field(description="Its source model.", examples=["blog.Article"])
    key: str = Field(description="Its primary key, a JSON array for a composite one.", examples=["12"])
    start: int = Field(0, ge=0, le=1_000_000_000)
    length: int = Field(service.LONGEST_TEXT, ge=1, le=service.LONGEST_TEXT)


class SyncBatchRequest(StrictModel):
    """Rows of one model to bring into the index."""

    model_name: str = Field(min_length=1, examples=["blog.Article"])
    model_ids: list[int | str] = Field(min_length=1, max_length=MAX_KEYS)
    force_update: bool = Field(False, description="Embed every chunk anew.")


class SyncFailure(BaseModel):
    """A row that could not be rendered. The worker retries it."""

    object_key: str
    error: str


class SyncBatchResponse(BaseModel):
    """Counts of rows by outcome; ``absent``: keys without a row. A worker embeds what is new and what is requeued."""

    created: int
    updated: int
    metadata: int
    unchanged: int
    removed: int
    requeued: int
    absent: list[str]
    failures: list[SyncFailure]


@router.get("search/", response=SearchPage, operation_id="searchByUrl", openapi_extra=ANONYMOUS)
def search_by_url(request: HttpRequest, parameters: Query[SearchParameters]) -> SearchPage:
    """Search with all options in the query string. Metadata conditions are JSON."""
    reject_unknown_parameters(request, SearchParameters)
    caller = get_caller(request)
    caller.require("search")
    _check_limit(parameters)
    return service.search(with_header(request, parameters), viewer=caller.user)


@router.post("search/", response=SearchPage, operation_id="search", openapi_extra=ANONYMOUS)
def search(request: HttpRequest, body: SearchRequest) -> SearchPage:
    """Search what the caller may see: dense, keyword or hybrid."""
    caller = get_caller(request)
    caller.require("search")
    _check_limit(body)
    return service.search(with_header(request, body), viewer=caller.acting_as(body.user_id))


@router.get("facets/", response=Facets, operation_id="facetsByUrl", openapi_extra=ANONYMOUS)
def facets_by_url(request: HttpRequest, parameters: Query[FacetParameters]) -> Facets:
    """Count with all options in the query string. Metadata conditions are JSON."""
    reject_unknown_parameters(request, FacetParameters)
    caller = get_caller(request)
    caller.require("search")
    return service.facets(with_header(request, parameters), viewer=caller.user)


@router.post("facets/", response=Facets, operation_id="facets", openapi_extra=ANONYMOUS)
def facets(request: HttpRequest, body: FacetRequest) -> Facets:
    """How many objects the caller may see, by tag, model, value of a metadata key or period."""
    caller = get_caller(request)
    caller.require("search")
    return service.facets(with_header(request, body), viewer=caller.acting_as(body.user_id))


@router.get("similar/", response=SearchPage, operation_id="similar", openapi_extra=ANONYMOUS)
def similar(request: HttpRequest, parameters: Query[SimilarParameters]) -> SearchPage:
    """The objects most similar to one that the caller may see."""
    reject_unknown_parameters(request, SimilarParameters)
    caller = get_caller(request)
    caller.require("search")
    _check_limit(parameters)
    asked = with_header(request, parameters)
    return service.similar(parameters.model, parameters.key, asked, viewer=caller.user)


@router.post("similar/", response=SearchPage, operation_id="similarToSeveral", openapi_extra=ANONYMOUS)
def similar_to_several(request: HttpRequest, body: SimilarRequest) -> SearchPage:
    """The objects most similar to several together, which the caller may see."""
    caller = get_caller(request)
    caller.require("search")
    _check_limit(body)
    objects = [service.parse_id(each) for each in body.ids]
    return service.similar_to_several(objects, with_header(request, body), viewer=caller.acting_as(body.user_id))


@router.get("document/", response=FetchedDocument, operation_id="document", openapi_extra=ANONYMOUS)
def document(request: HttpRequest, parameters: Query[DocumentParameters]) -> FetchedDocument:
    """The text of an object that the caller may see, or a part of it."""
    reject_unknown_parameters(request, DocumentParameters)
    caller = get_caller(request)
    caller.require("search")
    return service.fetch(
        parameters.model,
        parameters.key,
        viewer=caller.user,
        start=parameters.start,
        length=parameters.length,
        fresh=with_header(request, parameters),
    )


@router.post("sync/", response=ExternalDataSyncResponse, operation_id="sync")
def sync(request: HttpRequest, body: ExternalDataSyncRequest, response: HttpResponse) -> ExternalDataSyncResponse:
    """Bring one row into the index, or take it out. A worker embeds it. Repeating it changes nothing."""
    get_caller(request).require("sync", CHANGE)
    source = service.source_named(body.model_name)
    key = _key(source, body.model_id)
    answer = run_sync_request(body)
    _give_token(response, [(source, key)])
    return answer


@router.post("sync/batch/", response=SyncBatchResponse, operation_id="syncBatch")
def sync_batch(request: HttpRequest, body: SyncBatchRequest, response: HttpResponse) -> SyncBatchResponse:
    """Bring up to 100 rows of one model into the index. A worker embeds them. Repeating it changes nothing."""
    get_caller(request).require("sync", CHANGE)
    source = service.source_named(body.model_name)
    keys = [_key(source, one) for one in body.model_ids]
    using = get_settings().database
    report = sync_keys(source, keys, using, force=body.force_update)
    _give_token(response, [(source, key) for key in keys])
    return SyncBatchResponse(
        created=report.created,
        updated=report.updated,
        metadata=report.metadata,
        unchanged=report.unchanged,
        removed=report.removed,
        requeued=report.requeued,
        absent=report.absent,
        failures=[SyncFailure(object_key=key, error=error) for key, error in report.failures],
    )


@router.get("costs/", response=CostReport, operation_id="costs")
def costs(request: HttpRequest, parameters: Query[CostParameters]) -> CostReport:
    """What providers were paid for embeddings, chats and agents, by day, model, tenant or another name."""
    get_caller(request).require("status", VIEW_COSTS)
    reject_unknown_parameters(request, CostParameters)
    return cost_report(get_settings().database, since=parameters.since, by=parameters.by)


@router.get("status/", response=IndexStatus, operation_id="status")
def status(request: HttpRequest) -> IndexStatus:
    """How far the index is, per source model; the active embedding space; the workers."""
    get_caller(request).require("status", VIEW)
    return index_status(get_settings().database)


# Below the limit of the library, because callers over HTTP are not trusted as code is.
def _check_limit(options: QueryFilters) -> None:
    most = min(get_settings().api.max_limit, get_settings().search.max_limit)
    if options.limit > most:
        raise SearchError(f"limit {options.limit} is out of range: pass a whole number from 1 to {most}.")


def _give_token(response: HttpResponse, objects: list[tuple[Source, str]]) -> None:
    """Put a freshness token into the header, for searches that must see the write; not inside a transaction."""
    if token := token_of_response(get_settings().database, objects):
        response.headers[FRESH] = token


def _key(source: Source, model_id: int | str) -> str:
    key = str(model_id)
    try:
        if is_storable(key):
            return object_key(source.model, parse_key(source.model, key))
    except PgKnowbaseError as error:
        raise SearchError(str(error)) from error
    # A NUL in a statement's parameter would fail as a server error instead of a refusal.
    raise SearchError(f"The key {short_repr(key)} holds a NUL or a lone surrogate: remove it.")
