"""Idempotency-Key: a POST that is sent again gets the first answer again, and nothing is done twice."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja.operation import Operation
from ninja.responses import NinjaJSONEncoder, Status
from ninja.utils import contribute_operation_callback

from pgknowbase.api.callers import caller_of
from pgknowbase.api.models import StoredResponse
from pgknowbase.api.problems import MEDIA_TYPE, Problem
from pgknowbase.conf import get_settings
from pgknowbase.search.metadata import storable

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
# One that has worked for longer has died.
WORKING = timedelta(minutes=15)
FORGOTTEN_AT_ONCE = 100
PARAMETER = {
    "in": "header",
    "name": HEADER,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "required": False,
    "description": "The same key with the same request gets the first answer again.",
}

View = Callable[..., Any]


def idempotent(view: View) -> View:
    """A route, sync or async, that heeds Idempotency-Key. It returns a model, or ``Status`` with one.

    What it returns, or refuses as a ``Problem``, is kept for IDEMPOTENCY_HOURS. After any other exception the key is
    free again.
    """
    if iscoroutinefunction(view):

        @wraps(view)
        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            stored = await sync_to_async(_begin)(request)
            if stored is None:
                return await view(request, *args, **kwargs)
            if stored.status is not None:
                return _again(stored)
            try:
                result = await view(request, *args, **kwargs)
            except BaseException as error:
                await sync_to_async(_refused)(stored, error)
                raise
            await sync_to_async(_done)(stored, result)
            return result

        contribute_operation_callback(awaited, _document)
        return awaited

    @wraps(view)
    def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        stored = _begin(request)
        if stored is None:
            return view(request, *args, **kwargs)
        if stored.status is not None:
            return _again(stored)
        try:
            result = view(request, *args, **kwargs)
        except BaseException as error:
            _refused(stored, error)
            raise
        _done(stored, result)
        return result

    contribute_operation_callback(called, _document)
    return called


def _document(operation: Operation) -> None:
    """Tell of the header in the OpenAPI document."""
    extra = operation.openapi_extra or {}
    operation.openapi_extra = {**extra, "parameters": [*extra.get("parameters", []), PARAMETER]}


def _begin(request: HttpRequest) -> StoredResponse | None:
    """The row of this request's key, ours to work on if it has no status; None where no key is sent."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY or not storable(key):
        raise Problem(400, "idempotency-key", f"{HEADER} is empty or longer than {LONGEST_KEY}: send a UUID.")
    user = caller_of(request).user
    if user is None:
        raise Problem(400, "idempotency-key", f"{HEADER} is kept for users only: leave it out.")
    rows = StoredResponse.objects.using(get_settings().database)
    now = timezone.now()
    _forget(now)
    digest = _digest(request)
    started = {"digest": digest, "created_at": now, "working_until": now + WORKING}
    row, created = rows.get_or_create(user_id=user.pk, key=key, defaults=started)
    if created:
        return row
    if row.digest != digest:
        raise Problem(422, "idempotency-key", f"{HEADER} {key!r} was used for another request: send a new one.")
    if row.status is None:
        ours = rows.filter(pk=row.pk, status=None, working_until__lt=now).update(working_until=now + WORKING)
        if not ours:
            raise Problem(
                409,
                "in-progress",
                "The first request with this key is still at work: ask again later.",
                headers={"Retry-After": "1"},
            )
    return row


def _digest(request: HttpRequest) -> str:
    asked = f"{request.method} {request.get_full_path()}\n".encode("utf-8", "surrogateescape")
    return hashlib.sha256(asked + request.body).hexdigest()


def _again(stored: StoredResponse) -> HttpResponse:
    return HttpResponse(
        stored.body,
        status=stored.status,
        content_type=stored.content_type,
        headers={"Idempotent-Replayed": "true"},
    )


def _done(stored: StoredResponse, result: Any) -> None:
    status, value = (result.status_code, result.value) if isinstance(result, Status) else (200, result)
    _keep(stored, status, "application/json; charset=utf-8", json.dumps(value, cls=NinjaJSONEncoder))


def _refused(stored: StoredResponse, error: BaseException) -> None:
    if isinstance(error, Problem) and error.status < 500:
        _keep(stored, error.status, MEDIA_TYPE, error.body)
    else:
        stored.delete()


def _keep(stored: StoredResponse, status: int, content_type: str, body: str) -> None:
    rows = StoredResponse.objects.using(stored._state.db)
    rows.filter(pk=stored.pk).update(status=status, content_type=content_type, body=body)


def _forget(now: Any) -> None:
    rows = StoredResponse.objects.using(get_settings().database)
    old = rows.filter(created_at__lt=now - timedelta(hours=get_settings().api.idempotency_hours))
    rows.filter(pk__in=list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])).delete()
