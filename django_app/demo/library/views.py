"""The search page and the chat page."""

import logging
import time
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from demo.library.forms import SearchForm
from demo.library.highlight import highlight
from demo.library.search import anything_indexed, find
from pgknowbase.errors import PgKnowbaseError

logger = logging.getLogger(__name__)

MAX_RESULTS = 25
EXAMPLES = (
    "read a gzip file line by line",
    "temporary directory that deletes itself",
    "cache the result of an expensive function",
    "send an email with an attachment",
    "protect a form against cross site request forgery",
)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """The search form and, after a query, its hits."""
    form = SearchForm(request.GET if "q" in request.GET else None)
    context: dict[str, Any] = {"form": form, "examples": EXAMPLES}
    status = 200
    if form.is_bound and not form.is_valid():
        status = 400
    elif form.is_bound:
        try:
            context |= _search(form.cleaned_data)
        except (PgKnowbaseError, DatabaseError) as error:
            logger.exception("A search failed")
            context["error"] = str(error) if settings.DEBUG else "The search is not available at the moment."
            # A search that fails is temporary: an error page of the site would hide the form.
            status = 503
    return render(request, "library/search.html", context, status=status)


@login_required(login_url="admin:login")
@ensure_csrf_cookie
@require_safe
def chat(request: HttpRequest) -> HttpResponse:
    """The chat page, a client of the REST API: see docs/chat.md."""
    return render(request, "library/chat.html")


@login_required(login_url="admin:login")
@ensure_csrf_cookie
@require_safe
def react_chat(request: HttpRequest) -> HttpResponse:
    """The chat with the React hooks of the Vercel AI SDK: see docs/front-ends.md."""
    return render(request, "library/react_chat.html")


def _search(query: dict[str, str]) -> dict[str, Any]:
    started = time.perf_counter()
    hits = find(query["q"], library=query["library"], kind=query["kind"], limit=MAX_RESULTS)
    milliseconds = (time.perf_counter() - started) * 1000
    return {
        "results": [(hit, highlight(hit.text, query["q"])) for hit in hits],
        "milliseconds": milliseconds,
        "empty_index": not hits and not anything_indexed(),
    }
