"""Authentication: which user a request comes from.

Three schemes are tried in turn: a bearer token, Django's session, and no credentials at all, which is enough to search
public rows. Each counts the request against the rate of its caller.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from pgknowbase.api.callers import Caller, bearer_secret, caller_of_token, get_caller
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.api.throttling import client_address, throttle
from pgknowbase.conf import get_settings

__all__ = ["ANONYMOUS", "AUTHENTICATION", "Caller", "get_caller"]

# ``openapi_extra`` of a route that answers without credentials; the OpenAPI document then says so.
ANONYMOUS = {"x-anonymous": True}


class TokenAuth(HttpBearer):
    """``Authorization: Bearer pgk_...``. An invalid token is refused even if there is a session beside it."""

    openapi_description = "A token made in the admin or by manage.py pgknowbase_token."

    def __call__(self, request: HttpRequest) -> Caller | None:
        secret = bearer_secret(request)
        return None if secret is None else self.authenticate(request, secret)

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        return caller_of_token(request, token)


class SessionAuth(APIKeyCookie):
    """Django's session, with its CSRF protection of every method but GET."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = "The session of a signed-in user; a POST needs the header X-CSRFToken too."

    def __call__(self, request: HttpRequest) -> Caller | None:
        user: Any = getattr(request, "user", None)
        return self.authenticate(request, None) if user is not None and user.is_authenticated else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Caller:
        throttle(f"user:{request.user.pk}", get_settings().api.user_rate)
        if check_csrf(request) is not None:
            raise Problem(403, "csrf", "The CSRF token is missing or wrong: send it as X-CSRFToken.")
        return Caller(request.user)


class AnonymousAuth:
    """The last scheme: a request without credentials, for routes that show public rows."""

    def __call__(self, request: HttpRequest) -> Caller:
        """A caller without a user.

        Raises:
            Problem: 401 if ANONYMOUS_SEARCH is off, 429 beyond ANONYMOUS_RATE.
        """
        rates = get_settings().api
        throttle(f"address:{client_address(request)}", rates.anonymous_rate)
        if not rates.anonymous_search:
            raise unauthenticated("This needs a user: send a token or sign in.")
        return Caller()


AUTHENTICATION: list[Callable[..., Any]] = [TokenAuth(), SessionAuth(), AnonymousAuth()]
