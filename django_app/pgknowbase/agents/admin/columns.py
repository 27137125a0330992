"""Columns and filters of the lists of runs."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pgknowbase.admin import display

# By status, the mark (a CSS class) with which the pages of the index show the same state.
MARKS = {
    "PENDING": "pending",
    "RUNNING": "processing",
    "COMPLETED": "completed",
    "FAILED": "dead",
    "CANCELLED": "idle",
    "WAITING": "pending",
    "REFUSED": "failed",
    "APPROVED": "completed",
    "DENIED": "dead",
}
# A filter lists the names that occur; with more of them the search is the better tool.
MOST_NAMES = 200


def user_lookup(prefix: str = "user") -> str:
    """The lookup of the user's name: a custom user model may have another field for it."""
    return f"{prefix}__{get_user_model().USERNAME_FIELD}"


def status_label(row: Any) -> SafeString:
    """The status with its mark."""
    return display.label(MARKS.get(row.status, "idle"), row.get_status_display())


def user_name(row: Any, field: str = "user") -> str:
    """The name of the row's user; the id of a user who was deleted."""
    key = getattr(row, f"{field}_id")
    if key is None:
        return display.EMPTY
    user = getattr(row, field)
    return f"{key} (deleted)" if user is None else str(user)


def seconds(value: float | None) -> str:
    """A time, to the millisecond."""
    return display.EMPTY if value is None else f"{value:,.3f} s"


def dollars(value: Any, *, known: bool = True) -> str:
    """A cost in US dollars. One that is not ``known`` is shown as unknown, never as 0."""
    return "unknown" if value is None and not known else display.EMPTY if value is None else f"$ {value:,.6f}"


def link(site: AdminSite, row: Any, text: str) -> SafeString:
    """A link to a row's page."""
    return format_html('<a href="{}">{}</a>', display.change_url(site, type(row), row.pk), text)


class NameFilter(admin.SimpleListFilter):
    """Filters by the names that occur in the column ``lookup``."""

    lookup = "agent_name"
    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).select_related(None).order_by(self.lookup)
        return [(name, name) for name in rows.values_list(self.lookup, flat=True).distinct()[:MOST_NAMES]]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.value()
        return queryset if name is None else queryset.filter(**{self.lookup: name})


class ExecutionAgentFilter(NameFilter):
    """Filters tool calls and approvals by the agent of their run."""

    lookup = "execution__agent_name"


class ToolFilter(NameFilter):
    """Filters by tool."""

    lookup = "tool_name"
    title = "tool"
    parameter_name = "tool"


class WorkflowFilter(NameFilter):
    """Filters by workflow."""

    lookup = "workflow_name"
    title = "workflow"
    parameter_name = "workflow"


class WorkflowAgentFilter(admin.SimpleListFilter):
    """Filters workflows by an agent that takes part."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).select_related(None).order_by().exclude(executions=None)
        names = rows.values_list("executions__agent_name", flat=True).distinct()[:MOST_NAMES]
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.value()
        return queryset if name is None else queryset.filter(agents__contains=[name])
