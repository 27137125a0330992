"""Paths and addresses. Those of runs and workflows are empty where the routes of agents are not served."""

from typing import Any
from urllib.parse import quote, unquote, urljoin
from uuid import UUID

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings
from pgknowbase.errors import NotFoundError
from pgknowbase.search.service import parse_id

NAMESPACE = "pgknowbase_api"
URI = "pgknowbase:///"


def execution_url(key: UUID | None) -> str:
    """The path of a run, or "" if the agents' routes are not served."""
    return _path("execution", execution_id=key)


def workflow_url(key: UUID | None) -> str:
    """The path of a workflow's run, or "" if the agents' routes are not served."""
    return _path("workflow", workflow_id=key)


def absolute_url(request: HttpRequest | None, path: str) -> str:
    """``path`` as an address for programs elsewhere; without PUBLIC_URL and a request it stays a path."""
    if site := get_settings().api.public_url:
        return urljoin(site, path)
    return path if request is None else request.build_absolute_uri(path)


def site_of(request: HttpRequest) -> str:
    """The address that paths of the site are joined to.

    Raises:
        Problem: 400, the request names another host.
    """
    try:
        return absolute_url(request, "/")
    except DisallowedHost as error:
        raise Problem(400, "host", "The host is not one of this site: correct the address.") from error


def resource_uri(identifier: str) -> str:
    """The URI of a document, from an id such as ``'blog.Article:12'``; for documents whose rows have no page."""
    model, key = parse_id(identifier)
    return f"{URI}{model}/{quote(key, safe='')}"


def id_of_uri(uri: str) -> str:
    """The id of the document that a URI names.

    Raises:
        NotFoundError: it is not a URI of a document.
    """
    model, slash, key = uri.removeprefix(URI).partition("/")
    if not uri.startswith(URI) or not slash:
        raise NotFoundError(f"There is no resource {uri!r}: pass a URI that resources/list gave.")
    return f"{model}:{unquote(key)}"


def _path(name: str, **arguments: Any) -> str:
    try:
        return reverse(f"{NAMESPACE}:{name}", kwargs=arguments)
    except NoReverseMatch:
        return ""
