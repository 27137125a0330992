"""Parameter types and checks that several routes share."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from django.http import HttpRequest
from ninja import Header
from pydantic import AfterValidator, AwareDatetime, BaseModel

from pgknowbase.api.authentication import get_caller
from pgknowbase.api.problems import Problem
from pgknowbase.core.text import is_storable, short_repr
from pgknowbase.search.questions import FreshQuery

# The header of a response that describes the run of an earlier request with the same Idempotency-Key.
REPLAYED = "Idempotent-Replayed"

# The header of a request whose answer must have what a freshness token stands for, and of an answer that gives one.
FRESH = "Pgknowbase-Fresh"
Query = TypeVar("Query", bound=FreshQuery)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Such as a UUID. The same key again returns the same run.",
    ),
]


def bound_key(request: HttpRequest, key: str | None) -> str:
    """The value of the header as rows keep it, or "" without the header: a digest of caller, path and key.

    So a key that was guessed or seen opens no run of another user.
    """
    if key is None:
        return ""
    user = get_caller(request).user
    bound = f"{user.pk if user else ''}\n{request.path}\n{key}"
    return f"api:{hashlib.sha256(bound.encode('utf-8', 'surrogateescape')).hexdigest()}"


def reject_unknown_parameters(request: HttpRequest, parameters: type[BaseModel]) -> None:
    """Refuse parameters that a route does not have: a misspelt filter must not widen what is found.

    Raises:
        Problem: 422, the query string has a parameter that is not a field of ``parameters``.
    """
    unknown = sorted(set(request.GET) - parameters.model_fields.keys())
    if unknown:
        known = ", ".join(parameters.model_fields)
        raise Problem(422, "validation", f"The parameter {short_repr(unknown[0])} is unknown: use some of {known}.")


def with_header(request: HttpRequest, asked: Query) -> Query:
    """``asked`` with the token of the header ``Pgknowbase-Fresh``, where it has none itself."""
    token = request.headers.get(FRESH)
    return asked if token is None or asked.fresh is not None else asked.model_copy(update={"fresh": token})


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("it holds a NUL or a lone surrogate: remove it")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is too far from now: give a date between the years 1 and 9999") from None


# A text that Postgres can store.
Text = Annotated[str, AfterValidator(_storable)]
# A time with its zone, in UTC.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
