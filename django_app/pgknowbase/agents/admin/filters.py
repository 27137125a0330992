"""Filters of the lists of runs."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

MOST_NAMES = 200


class NameFilter(admin.SimpleListFilter):
    """The names that occur in ``lookup``."""

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
    """The agents whose runs the rows are of."""

    lookup = "execution__agent_name"


class ToolFilter(NameFilter):
    """The tools."""

    lookup = "tool_name"
    title = "tool"
    parameter_name = "tool"


class WorkflowFilter(NameFilter):
    """The workflows."""

    lookup = "workflow_name"
    title = "workflow"
    parameter_name = "workflow"


class WorkflowAgentFilter(admin.SimpleListFilter):
    """The agents that take part in workflows."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).select_related(None).order_by().exclude(executions=None)
        names = rows.values_list("executions__agent_name", flat=True).distinct()[:MOST_NAMES]
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.value()
        return queryset if name is None else queryset.filter(agents__contains=[name])
