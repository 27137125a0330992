"""What the admins of runs have in common: lists without wide columns, export, actions on a row's own page."""

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
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.agents.admin.export import KINDS, exported
from pgknowbase.errors import PgKnowbaseError

MOST = 1_000
SHOWN_FAILURES = 5


class NarrowChangeList(ChangeList):
    """Leaves the wide columns, which no list shows, in the table."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        model_admin: Any = self.model_admin
        return super().get_queryset(*args, **kwargs).defer(*model_admin.wide)


class RunAdmin(ReadOnlyAdmin):
    """Shows rows of runs, the latest first, and exports what the list shows.

    ``wide``: columns that no list reads. ``exported``: lookups by the names that they have in a file. ``moment``: the
    field of the rows' time. ``acts_on``: by action, whether it makes sense for a row.
    """

    change_list_template = "admin/pgknowbase_agents/run_list.html"
    list_per_page = 50
    wide: tuple[str, ...] = ()
    moment = "created_at"
    acts_on: Mapping[str, Callable[[Any], bool]] = {}

    @property
    def exported(self) -> dict[str, str]:
        """What a file holds of each row."""
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
        """The rows of the list with these filters, as a file."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if kind not in KINDS:
            raise Http404
        rows = self.get_changelist_instance(request).get_queryset(request)
        name = str(self.opts.model_name)
        return exported(request, rows, self.exported, kind=kind, moment=self.moment, name=name)

    def has_change_runs_permission(self, request: HttpRequest) -> bool:
        """Whether the user may act on the rows."""
        return self.granted(request, "change")

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
                if name in self.acts_on and self.acts_on[name](obj)
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def each(
        self, request: HttpRequest, queryset: "QuerySet[Any]", do: Callable[[Any], bool], told: str
    ) -> HttpResponseBase | None:
        """``do`` with the rows of an action, and tell what came of it.

        ``do`` says whether there was anything to do; ``told``: such as ``"{} cancelled."``
        """
        chosen = list(queryset.defer(*self.wide)[: MOST + 1])
        done, idle, failures = 0, 0, []
        for row in chosen[:MOST]:
            try:
                acted = do(row)
            except PgKnowbaseError as error:
                failures.append(f"{row.pk}: {str(error)[:300]}")
                continue
            done, idle = done + acted, idle + (not acted)
        if done or not failures:
            rest = f" {idle:,} left alone: their state does not allow it." if idle else ""
            messages.add_message(request, messages.SUCCESS if done else messages.INFO, told.format(f"{done:,}") + rest)
        for failure in failures[:SHOWN_FAILURES]:
            messages.error(request, failure)
        if len(failures) > SHOWN_FAILURES:
            messages.error(request, f"{len(failures) - SHOWN_FAILURES:,} more failed.")
        if len(chosen) > MOST:
            messages.warning(request, f"One action handles {MOST:,} rows: repeat it for the rest.")
        return self._back(request)

    def _back(self, request: HttpRequest) -> HttpResponseBase | None:
        pk = request.POST.get(ACTION_CHECKBOX_NAME)
        if "detail" not in request.POST or not pk:
            return None
        return redirect(display.change_url(self.admin_site, self.model, pk))
