"""The API as one object: routers from the settings, bounded requests, problems for errors, the OpenAPI document."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib.util import find_spec
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.operation import Operation
from ninja.parser import Parser
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from pgknowbase import __version__
from pgknowbase.api.authentication import AUTHENTICATION
from pgknowbase.api.error_handlers import HANDLERS
from pgknowbase.api.events import EVENTS
from pgknowbase.api.events import MEDIA_TYPE as EVENT_STREAM
from pgknowbase.api.links import NAMESPACE
from pgknowbase.api.oauth import with_metadata
from pgknowbase.api.problems import MEDIA_TYPE, Problem, ProblemDetails
from pgknowbase.api.requests import check_body, non_atomic
from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalDataType
from pgknowbase.operations.status import ModelIntegrationStatus
from pgknowbase.sources.declaration import ExternalDataMetaConfig

ORCHESTRATOR = "pgknowbase.api.orchestrator.router"
FRONT_ENDS = "pgknowbase.ui.routes.router"
# The apps that must be installed for a router, and the packages of its extras.
APPS = {
    ORCHESTRATOR: ("pgknowbase.agents",),
    "pgknowbase.chat.routes.router": ("pgknowbase.chat",),
    FRONT_ENDS: ("pgknowbase.agents", "pgknowbase.chat"),
}
PACKAGES = {ORCHESTRATOR: ("pydantic_ai",), FRONT_ENDS: ("pydantic_ai", "ag_ui")}
REFERENCE = "#/components/schemas/{model}"
REFUSALS = {"4XX": "Refused: the problem says why.", "5XX": "Not possible now: the problem says why."}

View = Callable[..., Any]


# Building the API


def build_api() -> "KnowbaseAPI":
    """The API with the routers of the settings.

    Raises:
        ConfigurationError: a router is named whose app is not installed.
    """
    api = KnowbaseAPI(
        title="pgknowbase",
        version=__version__,
        description="Rows of a Django project as knowledge inside Postgres.",
        urls_namespace=NAMESPACE,
        auth=AUTHENTICATION,
        parser=StrictParser(),
    )
    # django-ninja imports routers by name, so an app that is not named is never imported.
    for prefix, router in routers().items():
        api.add_router(prefix, router)
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api


def routers() -> dict[str, str]:
    """Routers by prefix: those of the settings, and by default those whose apps are installed and can run.

    Raises:
        ConfigurationError: the settings name one whose app is not installed.
    """
    settings = get_settings().api
    configured = "routers" in settings.model_fields_set
    for router in settings.routers.values() if configured else ():
        for app in APPS.get(router, ()):
            if apps.is_installed(app):
                continue
            raise ConfigurationError(
                f"API['ROUTERS'] has {router!r} and {app!r} is not installed: add it to INSTALLED_APPS, or take the"
                " router out."
            )
    return {prefix: router for prefix, router in settings.routers.items() if configured or _can_run(router)}


def _can_run(router: str) -> bool:
    installed = all(map(apps.is_installed, APPS.get(router, ())))
    return installed and all(map(find_spec, PACKAGES.get(router, ())))


class StrictParser(Parser):
    """Parses JSON as its standard defines it: without NaN and Infinity."""

    def parse_body(self, request: HttpRequest) -> Any:
        # Python's json accepts NaN, which Postgres's jsonb and JavaScript refuse later.
        return json.loads(request.body, parse_constant=_reject_constant)


class GuardedAPI(NinjaAPI):
    """django-ninja's API with guarded views, and an OpenAPI document that describes refusals and anonymous access."""

    # Of refusals in the document: media type, and the name of the schema.
    refusal: tuple[str, type[BaseModel]] = (MEDIA_TYPE, ProblemDetails)
    # In the document, and so in the TypeScript types, without a route that names them.
    exported: tuple[type[BaseModel], ...] = (ProblemDetails,)

    def patterns(self) -> list[Any]:
        """The URL patterns, the last ones for paths below a router's prefix that no route has."""
        prefixes = [prefix for prefix, _ in self._routers if prefix]
        return [
            *self._get_urls(),
            *(re_path(rf"^{re.escape(prefix.lstrip('/'))}", csrf_exempt(guarded(no_route))) for prefix in prefixes),
        ]

    def _get_urls(self) -> list[Any]:
        return [
            URLPattern(found.pattern, guarded(found.callback), found.default_args, found.name)
            for found in super()._get_urls()
            if isinstance(found, URLPattern)
        ]

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return str(operation.view_func.__name__)

    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: Any = None) -> Any:
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        schemas = schema["components"].setdefault("schemas", {})
        for model in self.exported:
            _describe(model, schemas)
        media_type, refusal = self.refusal
        content = {media_type: {"schema": {"$ref": f"#/components/schemas/{refusal.__name__}"}}}
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, description in REFUSALS.items():
                    operation["responses"][status] = {"description": description, "content": content}
                if events := operation.pop(EVENTS, None):
                    kinds = [
                        _event(name, model, schemas) for name, model in {**events, "problem": ProblemDetails}.items()
                    ]
                    described = {"schema": {"oneOf": kinds}}
                    operation["responses"][200].setdefault("content", {})[EVENT_STREAM] = described
                if operation.pop("x-anonymous", False):
                    operation["security"] = [*operation.get("security", []), {}]
        return schema


class KnowbaseAPI(GuardedAPI):
    """The API of the settings' routers."""

    exported = (ProblemDetails, ModelIntegrationStatus, ExternalDataMetaConfig)

    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: Any = None) -> Any:
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        schemas = schema["components"]["schemas"]
        # The promised name of what is a list of texts where it is used.
        schemas["ExternalDataType"] = {
            "type": "string",
            "enum": ExternalDataType.values,
            "description": "Where the text of a row comes from.",
        }
        schemas["ExternalDataMetaConfig"]["properties"]["source_type"] = {
            "$ref": "#/components/schemas/ExternalDataType",
            "default": ExternalDataType.MODEL.value,
        }
        return schema


def _describe(model: type[BaseModel], schemas: dict[str, Any], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """A reference to the schema of ``model``, which is added to ``schemas``."""
    described = model.model_json_schema(ref_template=REFERENCE, mode=mode)
    for name, schema in {**described.pop("$defs", {}), model.__name__: described}.items():
        schemas.setdefault(name, schema)
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _event(name: str, model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"event": {"const": name}, "data": _describe(model, schemas, "serialization")},
        "required": ["event", "data"],
    }


def _reject_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid JSON")


# Around each view: refusals that come before a route is chosen, in the form of all others


def guarded(view: View) -> View:
    """``view``, sync or async, with bounded bodies and problems instead of Django's error pages."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def async_guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                check_body(request)
                return _as_problem(request, await view(request, *args, **kwargs))
            except Problem as problem:
                return problem.response
            except Http404:
                return no_route(request)

        guard: View = async_guard
    else:

        @wraps(view)
        def sync_guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                check_body(request)
                with _limited(request):
                    return _as_problem(request, view(request, *args, **kwargs))
            except Problem as problem:
                return problem.response
            except Http404:
                return no_route(request)

        guard = sync_guard
    return non_atomic(guard)


def _limited(request: HttpRequest) -> AbstractContextManager[None]:
    """A time limit for what a request only reads; routes that write or ask a model set their own."""
    return time_limit(get_settings().database) if request.method in ("GET", "HEAD") else nullcontext()


def no_route(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """The response for a path that the API does not have."""
    return Problem(404, "no-route", "There is no such route: see openapi.json.").response


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """django-ninja answers a wrong method by itself: the same as a problem. A challenge names the metadata of OAuth."""
    if response.status_code != 405:
        return with_metadata(request, response)
    allowed = response.headers.get("Allow", "")
    return Problem(405, "method", f"Only {allowed} is allowed here: use that.", headers={"Allow": allowed}).response
