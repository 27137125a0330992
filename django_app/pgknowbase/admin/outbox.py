"""The admin of ``OutboxEvent``: the committed changes that the relay has not taken yet."""

from collections.abc import Iterable

from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pgknowbase.admin import display
from pgknowbase.admin.filters import EventSourceFilter
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.models import Expansion, ExternalData, OutboxEvent


def event_model(label: str) -> type[ExternalDataMixin] | None:
    """The source model whose events are labelled so, or None where this project has no such model."""
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return None
    known = issubclass(model, ExternalDataMixin) and model._meta.label == label
    return model if known else None


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
    using = event._state.db or "default"
    content_type = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
    return ExternalData.objects.using(using).filter(content_type=content_type, object_key__in=event.object_keys)


@admin.register(Expansion)
class ExpansionAdmin(ReadOnlyAdmin):
    """Shows the changes of related rows that the relay has taken and not yet carried to every source row."""

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
