"""The MCP server as a view: streamable HTTP without sessions, each request authenticated like one to the REST API."""

import json
import logging
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from pgknowbase.api.callers import Caller, bearer_secret, caller_of_token
from pgknowbase.api.oauth import with_metadata
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.api.requests import check_body, non_atomic
from pgknowbase.api.streams import open_streams
from pgknowbase.core.importing import importing
from pgknowbase.mcp import BROKEN
from pgknowbase.mcp.asgi import Application, respond
from pgknowbase.mcp.identity import current_request

SCOPE = "search"
# Of JSON-RPC.
INVALID_REQUEST, INTERNAL_ERROR = -32600, -32603
logger = logging.getLogger("pgknowbase.mcp")


async def serve(request: HttpRequest) -> HttpResponseBase:
    """Answer one request of the protocol, as the user of its token. Refusals are errors of JSON-RPC.

    A server without sessions has nothing to send outside of answers, so there is no GET.
    """
    try:
        if request.method != "POST":
            raise Problem(405, "method", "Only POST is allowed here: use that.", headers={"Allow": "POST"})
        if request.content_type != "application/json":
            raise Problem(415, "media-type", "The body is not application/json: send JSON, and say so in Content-Type.")
        _check_origin(request)
        check_body(request)
        caller, application = await sync_to_async(_prepared)(request)
        request.auth = caller  # type: ignore[attr-defined]
        stream = open_streams.open(request)
    except Problem as problem:
        return with_metadata(request, _refusal(problem), request.path)
    current_request.set(request)
    try:
        return await respond(request, application, stream)
    except Exception:
        logger.exception("A request of MCP failed")
        return _error(500, INTERNAL_ERROR, BROKEN)


endpoint = csrf_exempt(non_atomic(serve))


def _prepared(request: HttpRequest) -> tuple[Caller, Application]:
    """Who asks, and what answers. It runs in a thread."""
    caller = _authenticated(request)
    # The SDK takes longer to import than Django: the first request does it, and not the start of each process.
    with importing:
        from pgknowbase.mcp.application import build_application
    return caller, build_application(streamed=isinstance(request, ASGIRequest))


def _authenticated(request: HttpRequest) -> Caller:
    secret = bearer_secret(request)
    if secret is None:
        raise unauthenticated("This needs a token: send one as Authorization: Bearer.", scope=SCOPE)
    caller = caller_of_token(request, secret)
    caller.require(SCOPE)
    return caller


def _check_origin(request: HttpRequest) -> None:
    """Refuse a request for another host or by a page of another site, as the protocol asks against DNS rebinding.

    Raises:
        Problem: 403, the host is not in ALLOWED_HOSTS, or the page neither of this site nor in CSRF_TRUSTED_ORIGINS.
    """
    try:
        good = "Origin" not in request.headers or _origins()._origin_verified(request)
        request.get_host()
    except DisallowedHost as error:
        raise Problem(403, "origin", "The host is not one of this site: correct the address.") from error
    if not good:
        raise Problem(403, "origin", "The page is of another site: add that to CSRF_TRUSTED_ORIGINS to allow it.")


def _origins() -> Any:
    return CsrfViewMiddleware(lambda _: HttpResponse())


def _refusal(problem: Problem) -> HttpResponse:
    response = _error(problem.status, INVALID_REQUEST, problem.detail)
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def _error(status: int, code: int, message: str) -> HttpResponse:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return HttpResponse(json.dumps(body), status=status, content_type="application/json")
