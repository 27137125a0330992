"""The API as one object: routers from the settings, errors as problems, the OpenAPI document."""

import json
import logging
import re
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.operation import Operation
from ninja.parser import Parser

from pgknowbase import __version__
from pgknowbase.api.agent_problems import problem_of
from pgknowbase.api.callers import AUTHENTICATION
from pgknowbase.api.guard import guarded, not_found
from pgknowbase.api.links import NAMESPACE
from pgknowbase.api.problems import MEDIA_TYPE, Problem, ProblemDetails
from pgknowbase.conf import get_settings
from pgknowbase.errors import (
    AgentError,
    ConfigurationError,
    EmbeddingError,
    NotFoundError,
    NotIndexedError,
    RetryableEmbeddingError,
    SearchError,
    SpaceMismatchError,
)
from pgknowbase.meta import ExternalDataMetaConfig
from pgknowbase.status import ModelIntegrationStatus

ORCHESTRATOR = "pgknowbase.api.orchestrator.router"
APPS = {ORCHESTRATOR: "pgknowbase.agents", "pgknowbase.chat.routes.router": "pgknowbase.chat"}
# In the document, and so in the TypeScript types, without a route that names them.
EXPORTED = (ProblemDetails, ModelIntegrationStatus, ExternalDataMetaConfig)
REFUSALS = {"4XX": "Refused: the problem says why.", "5XX": "Not possible now: the problem says why."}

logger = logging.getLogger("pgknowbase.api")


class StrictParser(Parser):
    """JSON as its standard has it: without NaN and Infinity."""

    def parse_body(self, request: HttpRequest) -> Any:
        return json.loads(request.body, parse_constant=_refuse)


class KnowbaseAPI(NinjaAPI):
    """django-ninja's, with problem details, guarded views, and an OpenAPI document that tells of both."""

    def patterns(self) -> list[Any]:
        """The URL patterns, the last ones for paths below the routers that no route has."""
        prefixes = [prefix for prefix, _ in self._routers if prefix]
        return [
            *self._get_urls(),
            *(re_path(rf"^{re.escape(prefix.lstrip('/'))}", csrf_exempt(guarded(not_found))) for prefix in prefixes),
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
        for model in EXPORTED:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(described.pop("$defs", {}))
            schemas[model.__name__] = described
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, description in REFUSALS.items():
                    operation["responses"][status] = {"description": description, "content": content}
                if operation.pop("x-anonymous", False):
                    operation["security"] = [*operation.get("security", []), {}]
        return schema


def routers() -> dict[str, str]:
    """Routers by prefix: those of the settings, and by default those whose apps are installed and can run.

    Raises:
        ConfigurationError: the settings ask for one without its app.
    """
    settings = get_settings().api
    asked = "routers" in settings.model_fields_set
    for router in settings.routers.values():
        app = APPS.get(router)
        if asked and app is not None and not apps.is_installed(app):
            raise ConfigurationError(
                f"API['ROUTERS'] has {router!r} and {app!r} is not installed: add it to INSTALLED_APPS, or take the"
                " router out."
            )
    return {prefix: router for prefix, router in settings.routers.items() if asked or _can_run(router)}


def _can_run(router: str) -> bool:
    app = APPS.get(router)
    if router == ORCHESTRATOR and find_spec("pydantic_ai") is None:
        return False
    return app is None or apps.is_installed(app)


def build_api() -> KnowbaseAPI:
    """The API with the routers of the settings."""
    api = KnowbaseAPI(
        title="pgknowbase",
        version=__version__,
        description="Rows of a Django project as knowledge inside Postgres.",
        urls_namespace=NAMESPACE,
        auth=AUTHENTICATION,
        parser=StrictParser(),
    )
    for prefix, router in routers().items():
        api.add_router(prefix, router)
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _problem(request: HttpRequest, error: Any) -> HttpResponse:
    response: HttpResponse = error.response
    return response


def _http_error(request: HttpRequest, error: Any) -> HttpResponse:
    kind = "json" if error.status_code == 400 else "refused"
    return Problem(error.status_code, kind, f"{error}: correct the request.").response


def _not_found(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(404, "not-found", str(error) or "There is nothing here: see openapi.json.").response


def _search(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(422, "search", str(error)).response


def _not_indexed(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(409, "not-indexed", str(error)).response


def _embedding(request: HttpRequest, error: Any) -> HttpResponse:
    logger.error("A search text could not be embedded: %s", error)
    wait = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(int(wait) + 1)} if wait else {}
    again = "try again later" if isinstance(error, RetryableEmbeddingError) else "tell an administrator"
    detail = f"The text cannot be embedded now: {again}, or search with leg 'keyword'."
    return Problem(503, "embedding", detail, headers=headers).response


def _mismatch(request: HttpRequest, error: Any) -> HttpResponse:
    logger.error("Searches by meaning do not work: %s", error)
    return Problem(503, "embedding", "Searches by meaning do not work now: tell an administrator.").response


def _agent(request: HttpRequest, error: Any) -> HttpResponse:
    problem = problem_of(error)
    if problem.status >= 500:
        logger.error("%s", error)
    return problem.response


def _invalid(request: HttpRequest, error: Any) -> HttpResponse:
    faults = [_fault(fault) for fault in error.errors]
    told = "; ".join(f"{fault['pointer'] or fault['where']}: {fault['detail']}" for fault in faults[:3])
    return Problem(422, "validation", f"The request is wrong: {told}. Correct it.", errors=faults).response


def _fault(fault: Any) -> dict[str, str]:
    where, *path = fault["loc"]
    if where == "body":  # the name of the route's parameter is nothing that a caller knows
        path = path[1:]
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return {"where": str(where), "pointer": pointer, "detail": str(fault["msg"]).removeprefix("Value error, ")}


HANDLERS: dict[type[Exception], Any] = {
    Problem: _problem,
    HttpError: _http_error,
    ValidationError: _invalid,
    Http404: _not_found,
    NotFoundError: _not_found,
    NotIndexedError: _not_indexed,
    SearchError: _search,
    EmbeddingError: _embedding,
    SpaceMismatchError: _mismatch,
    AgentError: _agent,
}
