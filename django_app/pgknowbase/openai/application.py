"""OpenAI's API as one object: its routes, guarded as those of the REST API, and its own OpenAPI document."""

from typing import Any

from django.http import HttpRequest
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from pgknowbase import __version__
from pgknowbase.api.application import GuardedAPI, StrictParser, guarded, no_route
from pgknowbase.api.authentication import Caller, TokenAuth
from pgknowbase.api.error_handlers import HANDLERS
from pgknowbase.api.problems import unauthenticated
from pgknowbase.api.throttling import client_address, throttle
from pgknowbase.conf import get_settings
from pgknowbase.openai.errors import OpenAIError, translated

NAMESPACE = "pgknowbase_openai"


def build_api() -> "OpenAIAPI":
    """The API."""
    api = OpenAIAPI(
        title="pgknowbase as OpenAI's API",
        version=__version__,
        description="Chat completions and embeddings over what the user of a token may see.",
        urls_namespace=NAMESPACE,
        auth=[TokenAuth(), NoToken()],
        parser=StrictParser(),
    )
    api.add_router("", "pgknowbase.openai.routes.router")
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api


class NoToken:
    """The last scheme: who has no token is refused. A session would do for no client, and needs CSRF tokens."""

    def __call__(self, request: HttpRequest) -> Caller:
        """Never returns.

        Raises:
            Problem: 401; 429 beyond ANONYMOUS_RATE.
        """
        throttle(f"address:{client_address(request)}", get_settings().api.anonymous_rate)
        raise unauthenticated("This needs a token: send one as Authorization: Bearer, where clients ask for a key.")


class OpenAIAPI(GuardedAPI):
    """The guarded API, whose refusals have OpenAI's form."""

    refusal = ("application/json", OpenAIError)
    exported = (OpenAIError,)

    def patterns(self) -> list[Any]:
        """The URL patterns, the last one for paths that no route has."""
        return [*super().patterns(), re_path("", csrf_exempt(translated(guarded(no_route))))]

    def _get_urls(self) -> list[Any]:
        found = super()._get_urls()
        for pattern in found:
            pattern.callback = translated(pattern.callback)
        return found
