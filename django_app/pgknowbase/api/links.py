"""Paths of what the API has."""

from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, reverse

NAMESPACE = "pgknowbase_api"


def execution_url(key: UUID | None) -> str:
    """The path of a run; empty where the routes of agents are not served."""
    return _path("execution", execution_id=key)


def workflow_url(key: UUID | None) -> str:
    """The path of a run of a workflow; empty where the routes of agents are not served."""
    return _path("workflow", workflow_id=key)


def _path(name: str, **places: Any) -> str:
    try:
        return reverse(f"{NAMESPACE}:{name}", kwargs=places)
    except NoReverseMatch:
        return ""
