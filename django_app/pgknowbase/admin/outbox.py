"""The admin of the outbox and of reactions: events, expansions and deliveries."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pgknowbase.admin import display
from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.conf import get_settings
from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.models import Delivery, Expansion, ExternalData, OutboxEvent, ReactionEvent
from pgknowbase.reactions.retry import retry_deliveries
from pgknowbase.sources.registry import sources

# Changes that wait for the relay


def event_model(label: str) -> type[ExternalDataMixin] | None:
    """The source model whose events are labelled so, or None where this project has no such model."""
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return None
    known = issubclass(model, ExternalDataMixin) and model._meta.label == label
    return model if known else None


class EventSourceFilter(admin.SimpleListFilter):
    """The source models of this project, and the events that no model of it claims."""

    title = "source model"
    parameter_name = "source"
    unknown = "-"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        return [(one.label, one.label) for one in sources()] + [(self.unknown, "Unknown to this project")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value == self.unknown:
            return queryset.exclude(source__in=[one.label for one in sources()])
        return queryset.filter(source=value)


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    """Shows the waiting events, the oldest first. Triggers alone write them, the relay alone deletes them."""

    list_display = ("id", "source_column", "operation", "key_column", "path_column", "age", "created_at")
    list_filter = (EventSourceFilter, "op")
    list_per_page = 100
    search_fields = ("object_keys",)
    search_help_text = "Finds an object key, given in full."
    ordering = ("pk",)
    fields = ("id", "source_column", "operation", "key_column", "path_column", "age", "created_at", "indexed")
    readonly_fields = ("source_column", "operation", "key_column", "path_column", "age", "indexed")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxEvent], search_term: str
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        """Events that hold the very key."""
        term = search_term.strip()
        return (queryset.filter(object_keys__contains=[term]) if term else queryset), False

    @admin.display(description="source model", ordering="source")
    def source_column(self, event: OutboxEvent) -> SafeString | str:
        """The source model, marked where no worker of this project takes its events."""
        return display.model_label(event_model(event.source), event.source)

    @admin.display(description="operation", ordering="op")
    def operation(self, event: OutboxEvent) -> str:
        """What happened to the row."""
        return str(event.get_op_display())

    @admin.display(description="object keys", ordering="object_keys")
    def key_column(self, event: OutboxEvent) -> SafeString | str:
        """The rows, or that it is the whole table."""
        if event.object_keys is None:
            return "(the whole table)"
        return display.text(", ".join(map(str, event.object_keys)), longest=90)

    @admin.display(description="path", ordering="path")
    def path_column(self, event: OutboxEvent) -> str:
        """The lookup that leads to the changed row, where it is not the source row itself."""
        return event.path or display.EMPTY

    @admin.display(description="age", ordering="-created_at")
    def age(self, event: OutboxEvent) -> str:
        """How long the event has waited."""
        return timesince(event.created_at)

    @admin.display(description="in the index")
    def indexed(self, event: OutboxEvent) -> SafeString | str:
        """The objects that the index knows under these keys."""
        found = [
            (
                display.change_url(self.admin_site, ExternalData, data.pk),
                display.text(data.title.strip() or data.object_key, longest=90),
            )
            for data in _indexed(event)
        ]
        return format_html_join(", ", '<a href="{}">{}</a>', found) or display.EMPTY


def _indexed(event: OutboxEvent) -> Iterable[ExternalData]:
    model = event_model(event.source)
    if model is None or event.object_keys is None or event.path:
        return ()
    using = event._state.db or get_settings().database
    content_type = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
    return ExternalData.objects.using(using).filter(content_type=content_type, object_key__in=event.object_keys)


@admin.register(Expansion)
class ExpansionAdmin(ReadOnlyAdmin):
    """Shows the changes of related rows that the relay is still expanding to their source rows."""

    list_display = ("id", "source_column", "path", "keys_column", "after", "turned_at")
    fields = ("id", "source_column", "path", "keys_column", "after", "turned_at", "created_at")
    readonly_fields = ("source_column", "keys_column")
    list_filter = (EventSourceFilter,)

    @admin.display(description="source model", ordering="source")
    def source_column(self, expansion: Expansion) -> SafeString | str:
        """The source model, marked where no worker of this project takes it."""
        return display.model_label(event_model(expansion.source), expansion.source)

    @admin.display(description="changed rows")
    def keys_column(self, expansion: Expansion) -> SafeString | str:
        """The rows that changed, or that it is all of them."""
        if expansion.object_keys is None:
            return "(all)"
        return display.text(", ".join(expansion.object_keys), longest=90)


# Events and deliveries of reactions


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Shows the runs of reactions, the latest first. The action needs the permission to change deliveries."""

    actions = ["retry"]
    list_display = (
        "reaction",
        "object_key",
        "op",
        "state",
        "attempts",
        "reason",
        "due_at",
        "finished_at",
    )
    list_filter = ("state", "reaction", "op")
    search_fields = ("object_key", "idempotency_key")
    search_help_text = "Finds an object key or an idempotency key."
    ordering = ("-pk",)
    fields = (
        "reaction", "model", "object_key", "op", "state", "attempts", "error_column", "idempotency_key", "chain",
        "worker", "created_at", "due_at", "started_at", "finished_at",
    )  # fmt: skip
    readonly_fields = ("error_column",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry deliveries."""
        return self.has_model_permission(request, "change")

    @admin.display(description="error")
    def reason(self, delivery: Delivery) -> SafeString | str:
        """The first line of the error."""
        return display.text(delivery.error.partition("\n")[0], longest=90) if delivery.error else display.EMPTY

    @admin.display(description="error")
    def error_column(self, delivery: Delivery) -> SafeString | str:
        """The latest error, with where it was raised."""
        return display.preformatted(delivery.error)

    @admin.action(description="Retry", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Make the failed deliveries due now."""
        count = retry_deliveries(queryset)
        self.message_user(request, f"{count} are due now; a worker runs them.", messages.SUCCESS)


@admin.register(ReactionEvent)
class ReactionEventAdmin(ReadOnlyAdmin):
    """Shows the changes that no worker has taken yet."""

    list_display = ("id", "reaction", "op", "keys_column", "created_at")
    fields = (*list_display, "chain")
    readonly_fields = ("keys_column",)
    list_filter = ("reaction", "op")
    ordering = ("pk",)

    @admin.display(description="object keys")
    def keys_column(self, event: ReactionEvent) -> SafeString | str:
        """The changed rows."""
        return display.text(", ".join(map(str, event.object_keys)), longest=90)
