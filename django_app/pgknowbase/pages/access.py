"""Who may search on the pages, and how often: as over REST."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.http import HttpRequest

from pgknowbase.api.problems import Problem
from pgknowbase.api.throttling import client_address, throttle
from pgknowbase.conf import get_settings


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not answered: why, and the HTTP status."""

    reason: str
    status: int


def viewer_of(request: HttpRequest) -> Any | None:
    """The user of the request; None, who sees public rows alone, where nobody is signed in."""
    user = getattr(request, "user", None)
    return user if user is not None and user.is_authenticated else None


def refusal(request: HttpRequest) -> Refusal | None:
    """Why the caller may not search: not signed in where that is needed, or too often. None: they may.

    ``API["ANONYMOUS_SEARCH"]`` and ``API["ANONYMOUS_RATE"]`` hold here too, the rate where ``pgknowbase.api`` is
    installed, whose table counts the requests.
    """
    settings = get_settings().api
    if viewer_of(request) is not None:
        return None
    if not settings.anonymous_search:
        return Refusal("Sign in to search.", 401)
    if apps.is_installed("pgknowbase.api"):
        try:
            throttle(f"address:{client_address(request)}", settings.anonymous_rate)
        except Problem as problem:
            return Refusal(problem.detail, problem.status)
    return None
