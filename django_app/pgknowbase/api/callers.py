"""Who asks: by token, by session or nobody; what they may; and as whom they act."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from pgknowbase.api.models import ApiToken
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.api.throttling import address, throttle
from pgknowbase.api.tokens import verify_token
from pgknowbase.conf import get_settings
from pgknowbase.search.metadata import shown

ACT_FOR_OTHERS = "pgknowbase_api.act_for_others"
# ``openapi_extra`` of a route that has something for nobody: the OpenAPI document then says so.
ANONYMOUS = {"x-anonymous": True}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``user`` is None for nobody; ``token`` is None for a session."""

    user: Any | None = None
    token: ApiToken | None = None

    def require(self, scope: str, permission: str | None = None) -> None:
        """Let those pass who hold the permission and, with a token, its scope too.

        Raises:
            Problem: 401 or 403.
        """
        if self.token is not None and scope not in self.token.scopes:
            challenge = f'Bearer realm="pgknowbase", error="insufficient_scope", scope="{scope}"'
            raise Problem(
                403,
                "scope",
                f"The token lacks the scope {scope!r}: use one that has it.",
                headers={"WWW-Authenticate": challenge},
            )
        if permission is None:
            return
        if self.user is None:
            raise unauthenticated("This needs a user: send a token or sign in.")
        if not self.user.has_perm(permission):
            raise Problem(403, "permission", f"This needs the permission {permission!r}: ask an administrator for it.")

    def acting_as(self, user_id: int | str | None) -> Any | None:
        """The user for whom to act: the caller, unless they hold the permission to act for others and name one.

        Raises:
            Problem: 403 without that permission, or for a superuser; 422 where there is no such user.
        """
        if user_id is None or (self.user is not None and str(user_id) == str(self.user.pk)):
            return self.user
        if self.user is None or not self.user.has_perm(ACT_FOR_OTHERS):
            raise Problem(
                403, "permission", f"user_id names somebody else, which needs {ACT_FOR_OTHERS!r}: leave it out."
            )
        self.require("act_for_others", ACT_FOR_OTHERS)
        other = _active_user(user_id)
        if other is None:
            raise Problem(422, "no-user", f"There is no active user {shown(user_id)}: name another one.")
        if other.is_superuser and not self.user.is_superuser:
            raise Problem(403, "permission", "Only a superuser acts for a superuser: name another user.")
        return other


class TokenAuth(HttpBearer):
    """``Authorization: Bearer pgk_...``. A token that is not valid is refused, session or not."""

    openapi_description = "A token made in the admin or by manage.py pgknowbase_token."

    def __call__(self, request: HttpRequest) -> Caller | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        return self.authenticate(request, secret.strip()) if scheme.lower() == "bearer" else None

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        known = verify_token(token)
        rates = get_settings().api
        if known is None:
            throttle(f"address:{address(request)}", rates.anonymous_rate)
            raise unauthenticated("The token is unknown, expired or revoked: get a new one.", error="invalid_token")
        throttle(f"token:{known.pk}", rates.token_rate)
        request.user = known.user
        return Caller(known.user, known)


class SessionAuth(APIKeyCookie):
    """Django's session, with its CSRF protection of whatever is not a GET."""

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


class Nobody:
    """The last in the row: requests of nobody, for routes that have something for them."""

    def __call__(self, request: HttpRequest) -> Caller:
        """Nobody, as often as ANONYMOUS_RATE says.

        Raises:
            Problem: 401 where ANONYMOUS_SEARCH is off; 429.
        """
        rates = get_settings().api
        throttle(f"address:{address(request)}", rates.anonymous_rate)
        if not rates.anonymous_search:
            raise unauthenticated("This needs a user: send a token or sign in.")
        return Caller()


AUTHENTICATION: list[Callable[..., Any]] = [TokenAuth(), SessionAuth(), Nobody()]


def caller_of(request: HttpRequest) -> Caller:
    """Who asks, in a route."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def _active_user(user_id: int | str) -> Any | None:
    model = get_user_model()
    try:
        pk = model._meta.pk.to_python(user_id)
    except ValidationError:
        return None
    users = model._base_manager.using(get_settings().database)
    try:
        return users.filter(pk=pk, is_active=True).first()
    except (ValueError, OverflowError):  # NUL in a text key, a number beyond the column
        return None
