"""What the admins of runs have in common: lists without large columns, export, and actions on a row's own page."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path

from pgknowbase.admin import display
from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.agents.admin.export import KINDS, export_response
from pgknowbase.errors import PgKnowbaseError

MAX_ROWS = 1_000
SHOWN_FAILURES = 5


class NarrowChangeList(ChangeList):
    """Does not load the large columns, which no list shows."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        model_admin: Any = self.model_admin
        return super().get_queryset(*args, **kwargs).defer(*model_admin.deferred)


class RunAdmin(ReadOnlyAdmin):
    """Shows rows of runs, the latest first, and exports what the list shows.

    Attributes:
        deferred: large columns, which lists do not load.
        time_field: the field by which an export is ordered.
        action_conditions: by action, whether it can be applied to a row; its page offers only those.
    """

    change_list_template = "admin/pgknowbase_agents/run_list.html"
    list_per_page = 50
    deferred: tuple[str, ...] = ()
    time_field = "created_at"
    action_conditions: Mapping[str, Callable[[Any], bool]] = {}

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export: lookups by their names in the file."""
        return {}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NarrowChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        related = self.list_select_related
        return super().get_queryset(request).select_related(*(related if isinstance(related, tuple | list) else ()))

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/<str:kind>/", self.admin_site.admin_view(self.export), name=name), *super().get_urls()]

    def export(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """The rows of the list, with its filters, as a file."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if kind not in KINDS:
            raise Http404
        rows = self.get_changelist_instance(request).get_queryset(request)
        name = str(self.opts.model_name)
        return export_response(request, rows, self.export_columns, kind=kind, time_field=self.time_field, name=name)

    def has_change_runs_permission(self, request: HttpRequest) -> bool:
        """Whether the user may act on the rows."""
        return self.has_model_permission(request, "change")

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context["row_actions"] = [
                (name, label)
                for name, label in self.get_action_choices(request, [])
                if name in self.action_conditions and self.action_conditions[name](obj)
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def apply_to_each(
        self, request: HttpRequest, queryset: "QuerySet[Any]", do: Callable[[Any], bool], message: str
    ) -> HttpResponseBase | None:
        """Call ``do`` for each selected row, and show the user how many succeeded, were left alone, and failed.

        ``do`` returns whether there was anything to do; ``message`` is such as ``"{} cancelled."``
        """
        chosen = list(queryset.defer(*self.deferred)[: MAX_ROWS + 1])
        done, idle, failures = 0, 0, []
        for row in chosen[:MAX_ROWS]:
            try:
                acted = do(row)
            except PgKnowbaseError as error:
                failures.append(f"{row.pk}: {str(error)[:300]}")
                continue
            done, idle = done + acted, idle + (not acted)
        if done or not failures:
            rest = f" {idle:,} left alone: their state does not allow it." if idle else ""
            messages.add_message(
                request, messages.SUCCESS if done else messages.INFO, message.format(f"{done:,}") + rest
            )
        for failure in failures[:SHOWN_FAILURES]:
            messages.error(request, failure)
        if len(failures) > SHOWN_FAILURES:
            messages.error(request, f"{len(failures) - SHOWN_FAILURES:,} more failed.")
        if len(chosen) > MAX_ROWS:
            messages.warning(request, f"One action handles {MAX_ROWS:,} rows: repeat it for the rest.")
        return self._back(request)

    def _back(self, request: HttpRequest) -> HttpResponseBase | None:
        pk = request.POST.get(ACTION_CHECKBOX_NAME)
        if "detail" not in request.POST or not pk:
            return None
        return redirect(display.change_url(self.admin_site, self.model, pk))
