"""Parts of requests that several routes have in common."""

from datetime import UTC, datetime
from typing import Annotated

from django.http import HttpRequest
from pydantic import AfterValidator, AwareDatetime, BaseModel

from pgknowbase.api.problems import Problem
from pgknowbase.search.metadata import shown, storable


def check_names(request: HttpRequest, parameters: type[BaseModel]) -> None:
    """A misspelt filter must not widen what is found.

    Raises:
        Problem: 422, the address has a parameter that ``parameters`` does not know.
    """
    unknown = sorted(set(request.GET) - parameters.model_fields.keys())
    if unknown:
        known = ", ".join(parameters.model_fields)
        raise Problem(422, "validation", f"The parameter {shown(unknown[0])} is unknown: use some of {known}.")


def _storable(text: str) -> str:
    if not storable(text):
        raise ValueError("it holds a NUL or a lone surrogate: remove it")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is too far from now: give a date between the years 1 and 9999") from None


Text = Annotated[str, AfterValidator(_storable)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
