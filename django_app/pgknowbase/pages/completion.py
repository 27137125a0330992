"""Rows that a visitor may see, by the beginnings of the words that they type, as select2 wants them."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.generic import View

from pgknowbase.core.text import is_storable
from pgknowbase.errors import PgKnowbaseError, QueryTimeoutError
from pgknowbase.pages.access import refusal, viewer_of
from pgknowbase.pages.results import label_of
from pgknowbase.search import service
from pgknowbase.search.filters import MAX_OFFSET
from pgknowbase.search.queries import MAX_QUERY_CHARACTERS, while_typing
from pgknowbase.search.questions import SearchQuery


class CompletionView(View):
    """``GET complete/blog.Article/?term=sourdough+bre&page=2``: the best rows, 20 a page.

    Only rows that the index has and that the user of the request may see; an anonymous one sees public rows. Their
    texts are the titles of the index. It answers a term that is too short or that nothing can be found for by no rows.

    Attributes:
        per_page: rows of a page.
        models: the source models whose rows it completes, as classes; None: all.
    """

    http_method_names = ["get", "head", "options"]
    per_page = 20
    models: Any = None

    def get(self, request: HttpRequest, model: str) -> JsonResponse:
        """The rows, or 404 for a model that is not searched."""
        if (refused := refusal(request)) is not None:
            return JsonResponse({"error": refused.reason}, status=refused.status)
        known = None if self.models is None else {each._meta.label.lower() for each in self.models}
        if not is_storable(model) or (known is not None and model.lower() not in known):
            return JsonResponse({"error": "There is no such source model."}, status=404)
        page, term = request.GET.get("page", "1"), request.GET.get("term", "").strip()
        # isdecimal: "²" is a digit that int() refuses
        number = int(page) if page.isdecimal() and len(page) < 5 else 0
        offset = (number - 1) * self.per_page
        if not number or offset > MAX_OFFSET or not 0 < len(term) < MAX_QUERY_CHARACTERS:
            return _answer([], more=False)
        if not is_storable(term):
            return _answer([], more=False)
        try:
            label = service.source_named(model).label
            question = SearchQuery(
                query=while_typing(term), mode="keyword", models=[label], limit=self.per_page, offset=offset
            )
            found = service.search(question, viewer=viewer_of(request))
        except QueryTimeoutError as error:
            return JsonResponse({"error": str(error)}, status=503)
        except PgKnowbaseError:
            return JsonResponse({"error": "There is no such source model."}, status=404)
        rows = [{"id": each.object_key, "text": label_of(each)} for each in found.results]
        return _answer(rows, more=found.next_offset is not None)


def _answer(rows: list[dict[str, str]], *, more: bool) -> JsonResponse:
    return JsonResponse({"results": rows, "pagination": {"more": more}})
