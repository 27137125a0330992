"""Refusals in OpenAI's form: what the REST API says as problem details, as its clients read it."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import BaseModel, Field

from pgknowbase.api.problems import MEDIA_TYPE, TYPE, Problem, unexpected

# Codes that OpenAI has, by the kind of a problem. Others are the kind itself.
CODES = {
    "unauthenticated": "invalid_api_key",
    "scope": "missing_scope",
    "throttled": "rate_limit_exceeded",
    "streams": "rate_limit_exceeded",
    "budget": "insufficient_quota",
    "no-route": "unknown_url",
    "method": "method_not_supported",
    "json": "invalid_json",
    "validation": "invalid_value",
    "failed": "server_error",
}
TYPES = {429: "rate_limit_error", 401: "authentication_error", 403: "permission_error"}
# Clients try 409, 429 and what begins with 5 again by themselves. Here it would not help, and an agent would run twice.
FINAL = {"budget", "approval", "no-model", "run-cancelled"}
UNION = re.compile(r"^(str|int|float|bool|list\[.*|function-.*)$")

logger = logging.getLogger("pgknowbase.openai")
View = Callable[..., Any]


class OpenAIErrorDetails(BaseModel):
    """What is wrong. ``code`` tells kinds apart, ``param`` names the field of the request."""

    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None
    code: str | None = Field(examples=["model_not_found"])


class OpenAIError(BaseModel):
    """Why a request was refused, in OpenAI's form."""

    error: OpenAIErrorDetails


def error_of(problem: Mapping[str, Any]) -> OpenAIError:
    """The error that says what a problem says; ``problem`` is its JSON."""
    status, kind = problem["status"], problem["type"].removeprefix(TYPE)
    name = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    if kind == "budget":
        name = "insufficient_quota"
    faults = problem["errors"]
    param = _param(faults[0]["pointer"]) if faults else None
    code = CODES.get(kind, kind.replace("-", "_"))
    return OpenAIError(error=OpenAIErrorDetails(message=problem["detail"], type=name, param=param, code=code))


def translated(view: View) -> View:
    """``view``, sync or async, with OpenAI's errors for the problems of the REST API. Nothing is raised."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return _translate(await view(request, *args, **kwargs))
            except Exception:  # noqa: BLE001 - logged
                return _failed()

        return async_view

    @wraps(view)
    def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return _translate(view(request, *args, **kwargs))
        except Exception:  # noqa: BLE001 - logged
            return _failed()

    return sync_view


def _translate(response: HttpResponseBase) -> HttpResponseBase:
    if response.headers.get("Content-Type") != MEDIA_TYPE:
        return response
    problem = json.loads(response.content)  # type: ignore[attr-defined]
    status = 400 if problem["status"] == 422 else problem["status"]
    made = HttpResponse(error_of(problem).model_dump_json(), status=status, content_type="application/json")
    for name, value in response.headers.items():
        if name not in ("Content-Type", "Content-Length"):
            made.headers[name] = value
    if problem["type"].removeprefix(TYPE) in FINAL:
        made.headers["X-Should-Retry"] = "false"
    return made


def _failed() -> HttpResponseBase:
    logger.exception("A request failed")
    return _translate(unexpected().response)


def _param(pointer: str) -> str | None:
    """``messages[0].content`` from a JSON pointer."""
    parts = [part for part in pointer.split("/")[1:] if not UNION.match(part)]
    text = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts).lstrip(".")
    return text or None


def refuse(detail: str, pointer: str, *, status: int = 400, kind: str = "validation") -> Problem:
    """The problem of one field of the request, by its JSON pointer, such as ``/messages/0/content``."""
    return Problem(status, kind, detail, errors=[{"where": "body", "pointer": pointer, "detail": detail}])
