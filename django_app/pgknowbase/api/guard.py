"""What surrounds each view of the API: refusals that come before a route is chosen, in the form of the others."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase

from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings

View = Callable[..., Any]
WITH_BODY = ("POST", "PUT", "PATCH")


def guarded(view: View) -> View:
    """``view``, with bodies bounded, and without a transaction around it: a counter must not wait for a route's end."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                check_body(request)
                return _as_problem(await view(request, *args, **kwargs))
            except Problem as problem:
                return problem.response
            except Http404:
                return not_found(request)

        guard: View = awaited
    else:

        @wraps(view)
        def called(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                check_body(request)
                return _as_problem(view(request, *args, **kwargs))
            except Problem as problem:
                return problem.response
            except Http404:
                return not_found(request)

        guard = called
    transaction.non_atomic_requests(guard)
    return transaction.non_atomic_requests(using=get_settings().database)(guard)


def not_found(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """The answer for a path that the API does not have."""
    return Problem(404, "no-route", "There is no such route: see openapi.json.").response


def check_body(request: HttpRequest) -> None:
    """Refuse a body that is too large or no JSON.

    Raises:
        Problem: 413, 415 or 400.
    """
    if request.method not in WITH_BODY:
        return
    most = get_settings().api.max_body_bytes
    told = request.META.get("CONTENT_LENGTH") or "0"
    too_large = Problem(413, "too-large", f"The body is larger than {most} bytes: send less.")
    if not told.isascii() or not told.isdigit():
        raise Problem(400, "content-length", "Content-Length is no number: correct it.")
    if int(told[:20]) > most:
        raise too_large
    try:
        size = len(request.body)
    except RequestDataTooBig as error:
        raise too_large from error
    except UnreadablePostError as error:
        raise Problem(400, "unreadable", "The body ended early: send it again.") from error
    if size > most:
        raise too_large
    if size and request.content_type != "application/json":
        raise Problem(415, "media-type", "The body is no application/json: send JSON, and say so in Content-Type.")


def _as_problem(response: HttpResponseBase) -> HttpResponseBase:
    """What django-ninja answers itself, as a problem."""
    if response.status_code != 405:
        return response
    allowed = response.headers.get("Allow", "")
    return Problem(405, "method", f"Only {allowed} is allowed here: use that.", headers={"Allow": allowed}).response
