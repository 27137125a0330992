"""What every route does before its own work: the body is bounded, and no transaction spans the request."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpRequest, UnreadablePostError

from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings

METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
View = TypeVar("View", bound=Callable[..., Any])


def non_atomic(view: View) -> View:
    """``view``, run outside ``ATOMIC_REQUESTS``.

    The counters of rates must be committed at once, and a row that is locked until the end of a long request would make
    the caller's other requests wait.
    """
    transaction.non_atomic_requests(view)
    return transaction.non_atomic_requests(using=get_settings().database)(view)


def check_body(request: HttpRequest) -> None:
    """Refuse a body that is too large or not JSON.

    Raises:
        Problem: 413, 415 or 400.
    """
    if request.method not in METHODS_WITH_BODY:
        return
    limit = get_settings().api.max_body_bytes
    declared = request.META.get("CONTENT_LENGTH") or "0"
    too_large = Problem(413, "too-large", f"The body is larger than {limit} bytes: send less.")
    if not declared.isascii() or not declared.isdigit():
        raise Problem(400, "content-length", "Content-Length is not a number: correct it.")
    # A number of more digits is cut, as int() refuses very long ones.
    if int(declared[:20]) > limit:
        raise too_large
    try:
        size = len(request.body)
    except RequestDataTooBig as error:
        raise too_large from error
    except UnreadablePostError as error:
        raise Problem(400, "unreadable", "The body ended early: send it again.") from error
    if size > limit:
        raise too_large
    if size and request.content_type != "application/json":
        raise Problem(415, "media-type", "The body is not application/json: send JSON, and say so in Content-Type.")
