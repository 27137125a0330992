"""Filters of the admin's lists."""

from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from pgknowbase.admin.display import type_name
from pgknowbase.models import ExternalData, ExternalDataStatus
from pgknowbase.registry import sources

Lookups = list[tuple[str, str]]


class SourceModelFilter(admin.SimpleListFilter):
    """The source models of which the index knows a row."""

    title = "source model"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Lookups:
        rows = model_admin.get_queryset(request)
        known = ExternalData.objects.using(rows.db).filter(content_type=OuterRef("pk"))
        types = ContentType.objects.using(rows.db).filter(Exists(known)).order_by("app_label", "model")
        return [(str(one.pk), _name(one)) for one in types]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(content_type_id=int(value)) if value in dict(self.lookup_choices) else queryset.none()


class RetryFilter(admin.SimpleListFilter):
    """Failed objects by what becomes of them: tried again now, later, or never by itself."""

    title = "failures"
    parameter_name = "retry"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Lookups:
        return [("due", "Due for retry"), ("later", "Waiting for retry"), ("dead", "Dead letters")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        failed = queryset.filter(status=ExternalDataStatus.FAILED)
        match self.value():
            case None:
                return queryset
            case "due":
                return failed.filter(retry_at__lte=Now())
            case "later":
                return failed.filter(retry_at__gt=Now())
            case "dead":
                return failed.filter(retry_at=None)
            case _:
                return queryset.none()


class EventSourceFilter(admin.SimpleListFilter):
    """The source models of this project, and the events that no model of it claims."""

    title = "source model"
    parameter_name = "source"
    unknown = "-"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Lookups:
        return [(one.label, one.label) for one in sources()] + [(self.unknown, "Unknown to this project")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value == self.unknown:
            return queryset.exclude(source__in=[one.label for one in sources()])
        return queryset.filter(source=value)


def _name(content_type: ContentType) -> str:
    model = content_type.model_class()
    return model._meta.label if model else f"{type_name(content_type)} (unknown)"
