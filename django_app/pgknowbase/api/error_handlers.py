"""Which problem each exception becomes: what the API answers when a route or a library call raises."""

import logging
import time
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja.errors import HttpError, ValidationError

from pgknowbase.api.links import execution_url, workflow_url
from pgknowbase.api.problems import Problem
from pgknowbase.core.times import aware, midnight
from pgknowbase.errors import (
    AgentError,
    ApprovalError,
    ApprovalNeededError,
    BudgetExceededError,
    EmbeddingError,
    NoModelError,
    NotFoundError,
    NotIndexedError,
    NotYetFreshError,
    QueryTimeoutError,
    RetryableEmbeddingError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
    SearchError,
    ServerDownError,
    SpaceMismatchError,
    UnknownAgentError,
    UnknownWorkflowError,
    WorkflowError,
)

# The first class that fits counts, so subclasses come before their parents.
AGENT_PROBLEMS: list[tuple[type[AgentError], int, str]] = [
    (RunTimeoutError, 504, "run-timeout"),
    (RunCancelledError, 409, "run-cancelled"),
    (ApprovalNeededError, 409, "approval"),
    (RunError, 502, "run-failed"),
    (UnknownAgentError, 404, "not-found"),
    (UnknownWorkflowError, 404, "not-found"),
    (NoModelError, 503, "no-model"),
    (ApprovalError, 409, "decided"),
]

logger = logging.getLogger("pgknowbase.api")


def problem_of_agent_error(error: AgentError) -> Problem:
    """The problem that describes an error of an agent or a workflow."""
    if isinstance(error, BudgetExceededError):
        return _budget(error)
    if isinstance(error, WorkflowError) and not isinstance(error, UnknownWorkflowError):
        return _workflow(error)
    for kind, status, name in AGENT_PROBLEMS:
        if isinstance(error, kind):
            instance = execution_url(error.execution_id) if isinstance(error, RunError) else None
            return Problem(status, name, str(error), instance=instance)
    return Problem(409, "agent", str(error))


def _budget(error: BudgetExceededError, instance: str | None = None) -> Problem:
    """Budgets are renewed at midnight, in the time zone of the project."""
    # As moments with a zone, because a day has 23 or 25 hours where the clocks change.
    left = aware(midnight() + timedelta(days=1)).timestamp() - time.time()
    wait = {"Retry-After": str(max(1, int(left) + 1))}
    return Problem(429, "budget", str(error), headers=wait, instance=instance)


def _workflow(error: WorkflowError) -> Problem:
    if error.workflow_id is None:
        return Problem(422, "workflow", str(error))
    instance, cause = workflow_url(error.workflow_id), error.__cause__
    if isinstance(cause, BudgetExceededError):
        return _budget(cause, instance)
    if isinstance(cause, NoModelError):
        return Problem(503, "no-model", str(cause), instance=instance)
    if isinstance(cause, TimeoutError):
        return Problem(504, "run-timeout", str(error), instance=instance)
    return Problem(502, "run-failed", str(error), instance=instance)


# Handlers as django-ninja calls them


def _on_agent_error(request: HttpRequest, error: Any) -> HttpResponse:
    problem = problem_of_agent_error(error)
    if problem.status >= 500:
        logger.error("%s", error)
    return problem.response


def _on_problem(request: HttpRequest, error: Any) -> HttpResponse:
    response: HttpResponse = error.response
    return response


def _on_http_error(request: HttpRequest, error: Any) -> HttpResponse:
    kind = "json" if error.status_code == 400 else "refused"
    return Problem(error.status_code, kind, f"{error}: correct the request.").response


def _on_not_found(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(404, "not-found", str(error) or "There is nothing here: see openapi.json.").response


def _on_search_error(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(422, "search", str(error)).response


def _on_not_yet_fresh(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(503, "not-fresh", str(error), headers={"Retry-After": "1"}).response


def _on_server_down(request: HttpRequest, error: Any) -> HttpResponse:
    logger.error("%s", error)  # which names hosts
    detail = "A part of the index does not answer now: try again later."
    return Problem(503, "server-down", detail, headers={"Retry-After": "10"}).response


def _on_timeout(request: HttpRequest, error: Any) -> HttpResponse:
    logger.warning("A query was cancelled: %s", error)
    return Problem(503, "query-timeout", str(error)).response


def _on_not_indexed(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(409, "not-indexed", str(error)).response


def _on_embedding_error(request: HttpRequest, error: Any) -> HttpResponse:
    # The provider's words may name hosts or keys: they go to the log alone.
    logger.error("A search text could not be embedded: %s", error)
    wait = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(int(wait) + 1)} if wait else {}
    advice = "try again later" if isinstance(error, RetryableEmbeddingError) else "tell an administrator"
    detail = f"The text cannot be embedded now: {advice}, or search with mode 'keyword'."
    return Problem(503, "embedding", detail, headers=headers).response


def _on_space_mismatch(request: HttpRequest, error: Any) -> HttpResponse:
    logger.error("Semantic search does not work: %s", error)
    return Problem(503, "embedding", "Semantic search does not work now: tell an administrator.").response


def _on_invalid_request(request: HttpRequest, error: Any) -> HttpResponse:
    faults = [_field_problem(fault) for fault in error.errors]
    summary = "; ".join(f"{fault['pointer'] or fault['where']}: {fault['detail']}" for fault in faults[:3])
    return Problem(422, "validation", f"The request is wrong: {summary}. Correct it.", errors=faults).response


def _field_problem(fault: Any) -> dict[str, str]:
    where, *path = fault["loc"]
    if where == "body":  # then comes the name of the route's parameter, which no caller knows
        path = path[1:]
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return {"where": str(where), "pointer": pointer, "detail": str(fault["msg"]).removeprefix("Value error, ")}


HANDLERS: dict[type[Exception], Any] = {
    Problem: _on_problem,
    HttpError: _on_http_error,
    ValidationError: _on_invalid_request,
    Http404: _on_not_found,
    NotFoundError: _on_not_found,
    NotIndexedError: _on_not_indexed,
    QueryTimeoutError: _on_timeout,
    NotYetFreshError: _on_not_yet_fresh,
    ServerDownError: _on_server_down,
    SearchError: _on_search_error,
    EmbeddingError: _on_embedding_error,
    SpaceMismatchError: _on_space_mismatch,
    AgentError: _on_agent_error,
}
