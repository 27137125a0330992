"""Metrics for Prometheus: ``path("metrics", metrics)`` with ``from pgknowbase.api.metrics import metrics``."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from pgknowbase.api.callers import Caller, bearer_secret, caller_of_token
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.api.requests import non_atomic
from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.operations.prometheus import CONTENT_TYPE, metrics_text

PERMISSION = "pgknowbase.view_externaldata"


@csrf_exempt
@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """The metrics, for staff, or for a token with the scope ``status``; both need the permission to view the index."""
    try:
        _caller(request).require("status", PERMISSION)
        using = get_settings().database
        with time_limit(using):
            return HttpResponse(metrics_text(using), content_type=CONTENT_TYPE)
    except Problem as problem:
        return problem.response


metrics = non_atomic(view)


def _caller(request: HttpRequest) -> Caller:
    if (secret := bearer_secret(request)) is not None:
        return caller_of_token(request, secret)
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_active or not user.is_staff:
        raise unauthenticated("This needs a token, sent as Authorization: Bearer, or the session of a staff member.")
    return Caller(user)
