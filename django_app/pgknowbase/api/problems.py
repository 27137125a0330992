"""Problem details (RFC 9457): the one form in which the API refuses."""

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
    """Why a request was refused (RFC 9457). ``type`` tells kinds apart, ``detail`` is for people."""

    type: str = Field(examples=[TYPE + "validation"])
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="Path of the run or workflow that did not complete.")
    errors: list[FieldProblem] = Field([], description="Each part of the request that is wrong.")


class Problem(Exception):
    """Raised by a route to refuse. ``kind``: the last part of ``type``; ``instance``: the path of what it is about."""

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
        """The problem as an answer."""
        return HttpResponse(self.body, status=self.status, content_type=MEDIA_TYPE, headers=self.headers)


def unauthenticated(detail: str, *, error: str = "") -> Problem:
    """Who asks is not known, or not any more."""
    challenge = 'Bearer realm="pgknowbase"' + (f', error="{error}"' if error else "")
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})
