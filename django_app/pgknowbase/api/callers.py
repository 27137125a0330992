"""Who makes a request: their user, what their token allows, and for whom they may act. Needs no django-ninja."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from pgknowbase.api.models import ApiToken
from pgknowbase.api.oauth import OAuthToken, verify_access_token
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.api.throttling import client_address, throttle
from pgknowbase.api.tokens import verify_token
from pgknowbase.conf import get_settings
from pgknowbase.core.text import short_repr

ACT_FOR_OTHERS = "pgknowbase_api.act_for_others"


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of a request.

    ``user`` is None without credentials, ``token`` is None for a session.
    """

    user: Any | None = None
    token: ApiToken | OAuthToken | None = None

    def require(self, scope: str, permission: str | None = None) -> None:
        """Check the scope of the token, where there is one, and the permission of the user.

        Args:
            scope: a key of ``SCOPES``. A session has all scopes.
            permission: as ``user.has_perm`` takes it, such as ``"pgknowbase.view_externaldata"``.

        Raises:
            Problem: 401 without a user, 403 without the scope or the permission.
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
        """The user for whom the caller acts: themselves, or with the permission to act for others the one they name.

        Raises:
            Problem: 403 without that permission, or for a superuser; 422 if there is no such active user.
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
            raise Problem(422, "no-user", f"There is no active user {short_repr(user_id)}: name another one.")
        # Else a permission that is less than a superuser's would amount to all of them.
        if other.is_superuser and not self.user.is_superuser:
            raise Problem(403, "permission", "Only a superuser acts for a superuser: name another user.")
        return other


def get_caller(request: HttpRequest) -> Caller:
    """The caller of a request, inside a route.

    >>> def list_reports(request):
    ...     get_caller(request).require("reports", "reports.view_report")
    """
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def bearer_secret(request: HttpRequest) -> str | None:
    """What follows ``Bearer`` in the header ``Authorization``; None without that scheme."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def caller_of_token(request: HttpRequest, secret: str) -> Caller:
    """The caller with this token. It counts the request against the rate of the token, or of the address if invalid.

    Raises:
        Problem: 401 if the token is not valid, 429 beyond the rate.
    """
    verified = verify_token(secret) or verify_access_token(request, secret)
    rates = get_settings().api
    if verified is None:
        # Guessing tokens costs the rate of the address.
        throttle(f"address:{client_address(request)}", rates.anonymous_rate)
        raise unauthenticated(
            "The token is unknown, expired, revoked or for another address: get a new one.", error="invalid_token"
        )
    throttle(f"token:{verified.pk}", rates.token_rate)
    request.user = verified.user
    return Caller(verified.user, verified)


def _active_user(user_id: int | str) -> Any | None:
    model = get_user_model()
    try:
        pk = model._meta.pk.to_python(user_id)
    except ValidationError:
        return None
    # The base manager: a default manager may hide users.
    users = model._base_manager.using(get_settings().database)
    try:
        return users.filter(pk=pk, is_active=True).first()
    except (ValueError, OverflowError):  # NUL in a text key, a number beyond the column
        return None
