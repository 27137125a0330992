"""Tokens of OAuth 2.1, where django-oauth-toolkit is installed: this server as a protected resource (RFC 9728).

Authorization, registration and the metadata documents are that package's own. Needs no django-ninja.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from django.apps import apps
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, Resolver404, resolve, reverse

from pgknowbase.api.links import absolute_url
from pgknowbase.api.tokens import SCOPES

APP = "oauth2_provider"
METADATA = "/.well-known/oauth-protected-resource"
# What a program may never ask a user for by OAuth.
ONLY_OWN = {"act_for_others"}
Response = TypeVar("Response", bound=HttpResponseBase)


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """An access token. ``pk`` tells its rate from those of other tokens."""

    pk: str
    user: Any
    scopes: list[str]


class Scopes:
    """The scopes of our tokens, for ``OAUTH2_PROVIDER["SCOPES_BACKEND_CLASS"]``; without others, ``search``."""

    def get_all_scopes(self) -> dict[str, str]:
        """Descriptions by name, which the page of consent shows."""
        return {name: text for name, text in SCOPES.items() if name not in ONLY_OWN}

    def get_available_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        """The names."""
        return list(self.get_all_scopes())

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        """What a program gets that names none."""
        return ["search"]


def is_installed() -> bool:
    """Whether the project has django-oauth-toolkit."""
    return apps.is_installed(APP)


def verify_access_token(request: HttpRequest, secret: str) -> OAuthToken | None:
    """The token with this secret; None if it is unknown, expired, of nobody or made for another address.

    A token that names no address (RFC 8707) is good for all, as the package has it.
    """
    if not is_installed():
        return None
    tokens = import_module(f"{APP}.models").get_access_token_model()._base_manager
    digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
    token = tokens.filter(token_checksum=digest).select_related("user").first()
    if token is None or token.is_expired() or token.user is None or not token.user.is_active:
        return None
    if not token.allows_audience(absolute_url(request, request.path)):
        return None
    return OAuthToken(f"oauth-{token.pk}", token.user, [name for name in token.scope.split() if name not in ONLY_OWN])


def with_metadata(request: HttpRequest, response: Response, resource: str | None = None) -> Response:
    """``response``, whose challenge tells where the metadata of the resource are, so that clients find the way in.

    Args:
        resource: the path of the protected resource; default that of the API that the request is for.
    """
    challenge = response.headers.get("WWW-Authenticate", "")
    if challenge.startswith("Bearer") and is_installed() and (address := _metadata_address(request, resource)):
        response.headers["WWW-Authenticate"] = f'{challenge}, resource_metadata="{address}"'
    return response


def _metadata_address(request: HttpRequest, resource: str | None) -> str | None:
    try:
        path = METADATA + (resource or reverse(f"{request.resolver_match.namespace}:api-root"))  # type: ignore[union-attr]
        resolve(path)
    except (NoReverseMatch, Resolver404, AttributeError):
        return None
    return absolute_url(request, path)
