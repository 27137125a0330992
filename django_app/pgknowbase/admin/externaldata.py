"""The admin of ``ExternalData``: its list, filters and actions. ``detail`` has what the page of one object shows."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from pgknowbase.admin import detail, display
from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.admin.display import type_name
from pgknowbase.admin.knowledge import knowledge_page
from pgknowbase.core.command_line import command_line
from pgknowbase.models import ExternalData, ExternalDataStatus
from pgknowbase.relay.writing import SyncReport
from pgknowbase.sync.selection import Bounds, Outcome, remove_selection, sync_selection

# Filters


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
    """Failed objects by their next retry: due, later, or none (dead letters)."""

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


def _name(content_type: ContentType) -> str:
    model = content_type.model_class()
    return model._meta.label if model else f"{type_name(content_type)} (unknown)"


# The list and its actions


Rows = QuerySet[ExternalData]


class NarrowChangeList(ChangeList):
    """Does not load the wide columns, which the list does not show."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        return super().get_queryset(*args, **kwargs).defer("description", "metadata", "tags", "error")


@admin.register(ExternalData)
class ExternalDataAdmin(ReadOnlyAdmin):
    """Shows the index. Actions need the permission to change ``ExternalData``, removal that to delete it.

    ``bounds`` says how much one action may do; subclass and register anew to change it.
    """

    bounds = Bounds()
    actions = ["retry", "resync", "embed_anew", "remove"]
    list_display = ("title_column", "source", "status_column", "visibility", "owner_column", "chunks", "updated")
    list_display_links = ("title_column",)
    list_filter = ("status", RetryFilter, SourceModelFilter, "is_public", "updated_at")
    list_select_related = ("content_type", "owner")
    list_per_page = 50
    search_fields = ("title", "description", "object_key", "error")
    search_help_text = "Searches title, description, object key and error."
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": ("source", "object_key", "title", "description", "tag_column", "metadata_column")}),
        (
            "State",
            {
                "fields": (
                    "status_column",
                    "error_column",
                    "attempts",
                    "retry_column",
                    "chunk_count",
                    "token_count",
                )
            },
        ),
        ("Visibility", {"fields": ("visibility", "owner_column", "is_active", "similarity_threshold")}),
        (
            "Origin",
            {"fields": ("source_type", "content_hash", "created_at", "updated_at", "processed_at", "refresh_at")},
        ),
    )
    readonly_fields = (
        "source", "tag_column", "metadata_column", "status_column", "error_column", "retry_column",
        "visibility", "owner_column",
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        page = path("knowledge/", self.admin_site.admin_view(self.knowledge), name="pgknowbase_knowledge")
        return [page, *super().get_urls()]

    def knowledge(self, request: HttpRequest) -> HttpResponse:
        """A search, why each hit has its place, and why an object is missing."""
        return knowledge_page(self, request)

    # Columns

    @admin.display(description="title", ordering="title")
    def title_column(self, data: ExternalData) -> SafeString:
        """The title, or the key of what was never rendered."""
        return display.text(data.title.strip() or data.object_key, longest=90)

    @admin.display(description="source model", ordering="content_type")
    def source(self, data: ExternalData) -> SafeString | str:
        """The source model's name."""
        return display.model_label(data.source_model, display.type_name(data.content_type))

    @admin.display(description="status", ordering="status")
    def status_column(self, data: ExternalData) -> SafeString:
        """The status with its colour."""
        return display.status_label(data)

    @admin.display(description="visibility", ordering="is_public")
    def visibility(self, data: ExternalData) -> str:
        """Who may find the object."""
        return "public" if data.is_public else "private"

    @admin.display(description="owner", ordering="owner_id")
    def owner_column(self, data: ExternalData) -> str:
        """Whose object it is."""
        return display.owner_name(data)

    @admin.display(description="tags")
    def tag_column(self, data: ExternalData) -> SafeString | str:
        """The tags."""
        return display.tag_list(data.tags)

    @admin.display(description="metadata")
    def metadata_column(self, data: ExternalData) -> SafeString | str:
        """The metadata as JSON."""
        return display.as_json(data.metadata)

    @admin.display(description="error")
    def error_column(self, data: ExternalData) -> SafeString | str:
        """The latest error."""
        return display.preformatted(data.error)

    @admin.display(description="next retry")
    def retry_column(self, data: ExternalData) -> str:
        """When the worker tries again."""
        return (
            "None: a dead letter waits for the action Retry."
            if display.is_dead(data)
            else display.moment(data.retry_at)
        )

    @admin.display(description="chunks", ordering="chunk_count")
    def chunks(self, data: ExternalData) -> int:
        """How many chunks are embedded."""
        return data.chunk_count

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, data: ExternalData) -> str:
        """When the object was last written."""
        return display.moment(data.updated_at)

    # Pages

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NarrowChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: ExternalData | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= detail.page_context(obj, self.admin_site, request)
            context["subtitle"] = Truncator(obj.title.strip() or obj.object_key).chars(100)
            context["row_actions"] = [
                (name, label)
                for name, label in self.get_action_choices(request, [])
                if name != "retry" or obj.status == ExternalDataStatus.FAILED
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    # Actions

    def has_sync_permission(self, request: HttpRequest) -> bool:
        """Whether the user may resync objects."""
        return self.has_model_permission(request, "change")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Whether the user may take objects out of the index."""
        return self.has_model_permission(request, "delete")

    @admin.action(description="Retry failed now", permissions=["sync"])
    def retry(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Render the failed objects again, dead letters included, without waiting for their turn."""
        outcome = sync_selection(queryset.filter(status=ExternalDataStatus.FAILED), self.bounds)
        if not outcome.report.total and not outcome.unknown:
            self.message_user(request, "None of the selected objects has failed: nothing was retried.", messages.INFO)
        else:
            report_outcome(request, sync_headline("Retried", outcome.report), outcome, queryset.db)
        return _response_after(self, request)

    @admin.action(description="Resync with source", permissions=["sync"])
    def resync(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Render the objects from their committed rows and write what differs."""
        outcome = sync_selection(queryset, self.bounds)
        report_outcome(request, sync_headline("Resynced", outcome.report), outcome, queryset.db)
        return _response_after(self, request)

    @admin.action(description="Embed anew", permissions=["sync"])
    def embed_anew(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Resync the objects and queue every chunk of them for a new embedding."""
        outcome = sync_selection(queryset, self.bounds, force=True)
        report_outcome(request, embedding_headline(outcome.report), outcome, queryset.db)
        return _response_after(self, request)

    @admin.action(description="Remove from the index", permissions=["remove"])
    def remove(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Take the objects out of the index, after a page that asks."""
        if "confirmed" not in request.POST:
            return self._confirm_removal(request, queryset)
        outcome = remove_selection(queryset, self.bounds)
        report_outcome(request, sync_headline("Removed", outcome.report), outcome, queryset.db)
        return _response_after(self, request)

    def _confirm_removal(self, request: HttpRequest, queryset: Rows) -> TemplateResponse:
        # One more than an action may handle tells whether some are left, without counting millions.
        count = queryset.order_by()[: self.bounds.objects + 1].count()
        across = request.POST.get("select_across") == "1"
        context = {
            **self.admin_site.each_context(request),
            "title": "Remove from the index",
            "opts": self.opts,
            "media": self.media,
            "count": min(count, self.bounds.objects),
            "more": count > self.bounds.objects,
            "examples": queryset[:10],
            # With "select across" Django rebuilds the selection from the filters, so one id is enough.
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME)[: 1 if across else None],
            "select_across": int(across),
            "detail": request.POST.get("detail", ""),
        }
        return TemplateResponse(request, "admin/pgknowbase/externaldata/remove_confirmation.html", context)


def _response_after(model_admin: ExternalDataAdmin, request: HttpRequest) -> HttpResponseBase | None:
    """A redirect to the object's page, if the action began there and the object still exists."""
    pk = request.POST.get(ACTION_CHECKBOX_NAME)
    if "detail" not in request.POST or not pk or not model_admin.get_queryset(request).filter(pk=pk).exists():
        return None
    return redirect(display.change_url(model_admin.admin_site, ExternalData, pk))


# What an action reports


SHOWN_FAILURES = 5
COUNTS = {
    "created": "new",
    "updated": "waiting to be embedded",
    "metadata": "changed beside the text",
    "unchanged": "unchanged",
    "removed": "without a row to index, removed",
    "failed": "failed",
}


def sync_headline(verb: str, report: SyncReport) -> str:
    """The headline of an action, such as "Resynced 3 objects (2 unchanged, 1 failed)."."""
    only_removed = report.removed == report.total and verb == "Removed"
    return f"{verb} {_objects(report.total)}{'' if only_removed else _counts(report, COUNTS)}."


def embedding_headline(report: SyncReport) -> str:
    """The headline of the action that queues objects for new embeddings."""
    count = report.total - report.removed - report.failed
    return f"Queued {_objects(count)} for new embeddings{_counts(report, ['removed', 'failed'])}."


def report_outcome(request: HttpRequest, headline: str, outcome: Outcome, using: str) -> None:
    """Show the headline, the first failures, and what was left undone, as messages."""
    report = outcome.report
    if report.total or not outcome.unknown:
        messages.add_message(request, messages.WARNING if report.failed else messages.SUCCESS, headline)
    for key, error in report.failures[:SHOWN_FAILURES]:
        messages.error(request, f"{key}: {error[:300]}")
    if report.failed > SHOWN_FAILURES:
        messages.error(request, f"{report.failed - SHOWN_FAILURES:,} more failed; each object's page says why.")
    if outcome.unknown:
        messages.warning(
            request,
            f"{_objects(outcome.unknown)} left alone: no source model of this project has such rows."
            " Install their app again, or remove them from the index.",
        )
    if outcome.more:
        messages.warning(
            request,
            "More is selected than one action may do. Repeat it for the rest; whole models are better served"
            f" by {command_line('sync_external_models', using)!r}.",
        )


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count:,} objects"


def _counts(report: SyncReport, names: Iterable[str]) -> str:
    parts = [f"{getattr(report, name):,} {COUNTS[name]}" for name in names if getattr(report, name)]
    return f" ({', '.join(parts)})" if parts else ""
