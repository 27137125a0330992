"""``HybridSearchAdminMixin``: the search boxes of a source model's admin, and of fields that complete its rows."""

import logging
from typing import TYPE_CHECKING, Any, Literal

from django.contrib import messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.checks import CheckMessage, Error
from django.db import models
from django.db.models.expressions import OrderBy
from django.http import HttpRequest

from pgknowbase.core.command_line import command_line
from pgknowbase.core.transactions import savepoint_if_open
from pgknowbase.errors import PgKnowbaseError, QueryTimeoutError, SearchError
from pgknowbase.search.filters import Options
from pgknowbase.search.nothing_found import nothing_found
from pgknowbase.search.queries import HybridQuery, KeywordQuery, checked_text, checked_weight, while_typing
from pgknowbase.search.queryset import searchable
from pgknowbase.search.search import HitValue, IsHit, Search, relevance
from pgknowbase.search.visibility import UNRESTRICTED, Viewer
from pgknowbase.sources.registry import is_source, source_of

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    _Admin = ModelAdmin[Any]
else:
    _Admin = object

logger = logging.getLogger("pgknowbase.search")

VIEW = "pgknowbase.view_externaldata"
HELP = (
    "Finds the {limit} best by meaning and by words. These forms are known too:"
    ' "a phrase", -without, one OR another, title:word, pref*.'
)


class HybridSearchAdminMixin(_Admin):
    """Makes the search box of a changelist hybrid, and lets ``autocomplete_fields`` find rows by beginnings of words.

    >>> @admin.register(Article)
    ... class ArticleAdmin(HybridSearchAdminMixin, admin.ModelAdmin):
    ...     list_filter = ["status"]

    A search looks among the rows that ``get_queryset()`` and the filters of the list leave. Its rows are ordered by
    relevance unless the user chose a column. ``search_fields`` is what is searched where the index cannot answer;
    without it, the watched fields that hold text.

    Attributes:
        hybrid_search_limit: rows that a search finds at most, up to ``SEARCH["MAX_LIMIT"]``.
        hybrid_search_pending: whether rows whose change no worker has indexed yet are found too, by their words.
        hybrid_search_weight: what meaning weighs against words, in [0, 1]; None: as ``hybrid_search``.
    """

    hybrid_search_limit = 100
    hybrid_search_pending = True
    hybrid_search_weight: float | None = None

    def __init__(self, model: type[models.Model], admin_site: Any) -> None:
        super().__init__(model, admin_site)
        own: Any = self  # Django means both to be set in the class
        if not own.search_fields:
            own.search_fields = _text_fields(model)
        if own.search_help_text is None:
            own.search_help_text = HELP.format(limit=self.hybrid_search_limit)

    def get_search_viewer(self, request: HttpRequest) -> Viewer:
        """The user whose rights in the index hold besides those in the admin.

        Default: nobody's. Whoever may open the list sees every row of it, and so finds every row of it. Return
        ``request.user`` for a list that shows only what its user may see, and restrict ``get_queryset()`` too.
        """
        return UNRESTRICTED

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        found = super().check(**kwargs)
        if is_source(self.model):
            return found
        return [
            *found,
            Error(
                f"The admin of {self.model._meta.label!r} has HybridSearchAdminMixin, but its model is not indexed.",
                hint="Let the model inherit from ExternalDataMixin, or take the mixin away.",
                obj=type(self),
                id="pgknowbase.E040",
            ),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        base = super().get_changelist(request, **kwargs)
        return type("RelevanceChangeList", (_RelevanceColumns, base), {})

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if is_typing(request) and not queryset.ordered:
            queryset = queryset.order_by("pk")  # pages of rows without an order may repeat some
        if not search_term.strip():
            return super().get_search_results(request, queryset, search_term)
        try:
            text = checked_text(search_term)
        except SearchError as error:
            _tell(request, messages.ERROR, str(error))
            return queryset.none(), False
        try:
            search, reason = self._search(request, queryset, text)
        except QueryTimeoutError as error:  # the fields, which no index serves, would take longer still
            _tell(request, messages.ERROR, str(error))
            return queryset.none(), False
        if search is not None:
            if reason:
                _tell(request, messages.WARNING, f"Found by words alone, not by meaning: {reason}")
            rows = queryset.filter(IsHit(search))
            return (rows if request.GET.get(ORDER_VAR) else _by_relevance(rows, search)), False
        fields = ", ".join(map(str, self.get_search_fields(request)))
        _tell(request, messages.WARNING, f"Found by the text of the fields {fields} alone: {reason}")
        return super().get_search_results(request, queryset, search_term)

    def _search(self, request: HttpRequest, queryset: models.QuerySet[Any], text: str) -> tuple[Search | None, str]:
        """The search that answers, and why it is not the hybrid one; None where the index cannot answer.

        Raises:
            QueryTimeoutError: it took too long.
        """
        using, rows = queryset.db, searchable(queryset)
        options: dict[str, Any] = {
            "limit": self.hybrid_search_limit,
            "include_pending": self.hybrid_search_pending,
            "visible_to": self.get_search_viewer(request),
        }
        # Nobody waits for a provider between two keys, or pays it for each.
        queries: list[Any] = [KeywordQuery(while_typing(text))]
        if not is_typing(request):
            weight = checked_weight(self.hybrid_search_weight)
            queries = [HybridQuery(text, dense_weight=weight), KeywordQuery(text)]
        reason = ""
        for query in queries:
            by_words = isinstance(query, KeywordQuery)
            try:
                search = rows.search_by(query, Options(**options, scored_by_words=by_words))
                # A statement that fails must not abort the transaction of the page that reports it.
                with savepoint_if_open(using):
                    found = search.results(using)
            except QueryTimeoutError:
                raise
            except PgKnowbaseError as error:
                logger.warning("a search in the admin of %s failed: %s", queryset.model._meta.label, error)
                reason = str(error) if _may_know(request) else "an administrator can see why in the log."
                continue
            if found:
                return search, reason
            reason = reason or self._why_nothing(search, using)
        return None, reason

    def _why_nothing(self, search: Search, using: str) -> str:
        nothing = nothing_found(using, search.filters(using), best=None)
        name = self.opts.verbose_name_plural
        worker = "" if nothing.workers else ", and no worker is running"
        if nothing.passing > nothing.waiting:
            return "nothing in the index matches."
        if nothing.waiting:
            return f"of {name} nothing is embedded yet{worker}: {command_line('pgknowbase_status', using)!r} says more."
        if nothing.changes:
            return f"of {name} nothing is indexed yet, and changes wait{worker}."
        command = command_line(f"sync_external_models {source_of(self.model).label}", using)
        return f"of {name} nothing is indexed: run {command!r}."


class _RelevanceColumns(ChangeList):
    """A changelist that marks no column as the one it is ordered by, where it is ordered by relevance."""

    def get_ordering_field_columns(self) -> dict[int, Literal["asc", "desc"]]:
        by = self.queryset.query.order_by
        if any(isinstance(each, OrderBy) and isinstance(each.expression, HitValue) for each in by):
            return {}
        return super().get_ordering_field_columns()


def is_typing(request: HttpRequest) -> bool:
    """Whether the request is one of many while somebody types into a field with ``autocomplete_fields``."""
    match = request.resolver_match
    return match is not None and match.url_name == "autocomplete"


def _by_relevance(rows: models.QuerySet[Any], search: Search) -> models.QuerySet[Any]:
    return rows.order_by(relevance(rows.model, search), "pk")


def _may_know(request: HttpRequest) -> bool:
    """Whether the user may read what a provider says; messages of the knowledge page need the same."""
    return request.user.has_perm(VIEW)


def _tell(request: HttpRequest, level: int, text: str) -> None:
    """Show a message above the list, once: filters with facets search for each of their choices."""
    if request.method != "GET" or is_typing(request):
        return  # an action reloads the list, which says it then; a field shows no messages
    told = request.__dict__.setdefault("_pgknowbase_told", set())
    if text not in told:
        told.add(text)
        messages.add_message(request, level, text, fail_silently=True)


def _text_fields(model: type[models.Model]) -> tuple[str, ...]:
    """The model's own watched fields that hold text, for a search without the index; the key where there are none."""
    if not is_source(model):
        return ()
    names = {
        field.name for field in model._meta.concrete_fields if isinstance(field, models.CharField | models.TextField)
    }
    return tuple(name for name in source_of(model).paths if name in names) or ("pk",)
