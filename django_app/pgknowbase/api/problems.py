"""Problem details (RFC 9457), the form of every refusal."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from django.http import HttpResponse
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:pgknowbase:problem:"


class FieldProblem(BaseModel):
    """What is wrong with one part of the request."""

    where: str = Field(description="body, query, path or header.")
    pointer: str = Field(description="JSON pointer to the value inside it.", examples=["/limit"])
    detail: str


class ProblemDetails(BaseModel):
    """Why a request was refused (RFC 9457). ``type`` tells the kinds apart, ``detail`` is meant for a reader."""

    type: str = Field(examples=[TYPE + "validation"])
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="Path of the run or workflow that did not complete.")
    errors: list[FieldProblem] = Field([], description="Each part of the request that is wrong.")


class Problem(Exception):
    """Raised by a route to refuse a request.

    Args:
        status: the HTTP status.
        kind: the last part of ``type``, by which a client tells problems apart.
        detail: one sentence for a reader: what is wrong, and what to do.
        errors: the parts of the request that are wrong, with the fields of ``FieldProblem``.
        headers: of the response.
        instance: the path of the run or workflow that it is about.

    >>> raise Problem(422, "report", "There is no such report: name another one.")
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.instance = instance

    @property
    def body(self) -> str:
        """The problem as JSON."""
        return json.dumps(
            {
                "type": TYPE + self.kind,
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                **({"instance": self.instance} if self.instance else {}),
                "errors": self.errors,
            }
        )

    @property
    def response(self) -> HttpResponse:
        """The problem as a response."""
        return HttpResponse(self.body, status=self.status, content_type=MEDIA_TYPE, headers=self.headers)


def unauthenticated(detail: str, *, error: str = "", scope: str = "") -> Problem:
    """The problem of a request without valid credentials.

    Args:
        error: the code that RFC 6750 has for bearer tokens.
        scope: what the route needs, so that programs ask their user for no more.
    """
    told = {"error": error, "scope": scope}
    challenge = 'Bearer realm="pgknowbase"' + "".join(f', {name}="{text}"' for name, text in told.items() if text)
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def unexpected() -> Problem:
    """The problem for an error that nobody foresaw. What it is goes to the log alone."""
    return Problem(500, "failed", "Something went wrong: try again, or tell an administrator.")
