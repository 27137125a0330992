"""The search page: a class-based view over ``search/service``, as the user of the request."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.views.generic.base import TemplateResponseMixin, View

from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.core.transactions import savepoint_if_open
from pgknowbase.errors import PgKnowbaseError, QueryTimeoutError, SearchError
from pgknowbase.pages.access import refusal, viewer_of
from pgknowbase.pages.forms import SearchForm
from pgknowbase.pages.nothing import hints
from pgknowbase.pages.results import found_rows
from pgknowbase.search import service
from pgknowbase.search.external import SearchMode
from pgknowbase.search.filters import MAX_OFFSET
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.schemas import SearchPage
from pgknowbase.sources.registry import Source, source_by_label, source_of, sources

logger = logging.getLogger("pgknowbase.search")

VIEW = "pgknowbase.view_externaldata"
UNAVAILABLE = "The search is not available at the moment. Try again later."
WORDS_ALONE = "Found by their words alone: the search by meaning is not available at the moment."
PARTIAL = "A part of the site does not answer at the moment, so results may be missing."


class SearchView(TemplateResponseMixin, View):
    """A search page, at ``?q=words&model=blog.Article&page=2``.

    >>> urlpatterns = [path("search/", SearchView.as_view(models=[Article, Note], per_page=20))]

    It shows what the user of the request may see, anonymous ones what is public, and answers what it cannot search for
    by a message and a status: 400 for a wrong text or page, 503 where the database or the time limit refuses.

    Attributes:
        models: the source models that are searched, as classes or labels; None: all.
        mode: ``"hybrid"``, ``"semantic"`` or ``"keyword"``.
        per_page: results of a page, up to ``API["MAX_LIMIT"]``.
        snippet_length: characters of a snippet, from 50 to 2,000.
        form_class: a subclass of ``SearchForm``.
    """

    http_method_names = ["get", "head", "options"]
    template_name = "pgknowbase/search.html"
    models: Sequence[type[Model] | str] | None = None
    mode: SearchMode = "hybrid"
    per_page = 10
    snippet_length = 240
    form_class = SearchForm

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page, with the results of ``q`` where there is one."""
        refused = refusal(request)
        if refused is not None and refused.status == 401:
            return redirect_to_login(request.get_full_path())
        known = self.get_sources()
        form = self.form_class(request.GET if "q" in request.GET else None, sources=known)
        context: dict[str, Any] = {"form": form, "view": self}
        status = 200
        if refused is not None:
            context["error"], status = refused.reason, refused.status
        elif form.is_bound:
            status = self._answer(form, known, context) if form.is_valid() else 400
        return self.render_to_response(context, status=status)

    def get_sources(self) -> list[Source]:
        """The source models that are searched."""
        if self.models is None:
            return sources()
        return [source_by_label(each) if isinstance(each, str) else source_of(each) for each in self.models]

    def get_question(self, form: SearchForm, known: Sequence[Source]) -> SearchQuery:
        """What is searched for; a subclass may add conditions on metadata, tags or dates."""
        given = form.cleaned_data
        chosen = given.get("model")
        return SearchQuery(
            query=given["q"],
            mode=self.mode,
            models=[chosen] if chosen else None if self.models is None else [source.label for source in known],
            limit=self.per_page,
            offset=((given.get("page") or 1) - 1) * self.per_page,
            snippet_length=self.snippet_length,
        )

    def _answer(self, form: SearchForm, known: Sequence[Source], context: dict[str, Any]) -> int:
        """Search, put what was found into ``context``, and return the status of the response."""
        number = form.cleaned_data.get("page") or 1
        if (number - 1) * self.per_page > MAX_OFFSET:
            context["error"] = "A search shows no more than its best results: make it narrower."
            return 400
        question = self.get_question(form, known)
        try:
            found, notice = self._search(question)
        except QueryTimeoutError as error:
            context["error"] = str(error)
            return 503
        except PgKnowbaseError as error:
            # The form has accepted what the visitor asked, so the fault lies with the site.
            logger.warning("a search on a page failed: %s", error)
            context["error"] = str(error) if self._may_know() else UNAVAILABLE
            return 503
        context |= {
            "query": question.query,
            "results": found_rows(found, known),
            "notice": " ".join(filter(None, [notice, PARTIAL if found.is_partial else ""])),
            "number": number,
            "first": question.offset + 1,
            "previous_page": self._address(number - 1) if number > 1 else "",
            "next_page": self._address(number + 1) if found.next_offset is not None else "",
            "everything": self._address(1, model="") if form.cleaned_data.get("model") else "",
        }
        if not found.results and number == 1 and self._may_know():
            chosen = known if question.models is None else [each for each in known if each.label in question.models]
            context["hints"] = self._hints(chosen, question)
        return 200

    def _hints(self, searched: Sequence[Source], question: SearchQuery) -> list[str]:
        using = get_settings().database
        try:
            with savepoint_if_open(using), time_limit(using):
                return hints(searched, question, viewer_of(self.request))
        except QueryTimeoutError:  # the answer stands without them
            return []

    def _search(self, question: SearchQuery) -> tuple[SearchPage, str]:
        """What is found, and what to say of it: where texts cannot be embedded, it is found by words."""
        viewer, using = viewer_of(self.request), get_settings().database
        try:
            with savepoint_if_open(using):
                return service.search(question, viewer=viewer), ""
        except SearchError:
            raise
        except PgKnowbaseError as error:
            if question.mode == "keyword":
                raise
            logger.warning("a search on a page was done by words alone: %s", error)
            by_words = question.model_copy(update={"mode": "keyword", "dense_weight": None, "threshold": None})
            with savepoint_if_open(using):
                return service.search(by_words, viewer=viewer), WORDS_ALONE

    def _address(self, number: int, **changed: str) -> str:
        """The query of this request with another page."""
        query = self.request.GET.copy()
        for name, value in changed.items():
            query[name] = value
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    def _may_know(self) -> bool:
        """Whether the visitor may know what there is beyond what they may see: staff may, and a developer's machine."""
        user = viewer_of(self.request)
        return settings.DEBUG or (user is not None and user.has_perm(VIEW))
