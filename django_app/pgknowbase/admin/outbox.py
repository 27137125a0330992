"""The admin of ``OutboxEvent``: the committed changes that the relay has not taken yet."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pgknowbase.admin import display
from pgknowbase.admin.filters import EventSourceFilter
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.models import ExternalData, OutboxEvent


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
    search_fields = ("=object_key",)
    search_help_text = "Finds an object key, given in full."
    ordering = ("pk",)
    fields = ("id", "source_column", "operation", "key_column", "path_column", "age", "created_at", "indexed")
    readonly_fields = ("source_column", "operation", "key_column", "path_column", "age", "indexed")

    @admin.display(description="source model", ordering="source")
    def source_column(self, event: OutboxEvent) -> SafeString | str:
        """The source model, marked where no worker of this project takes its events."""
        return display.model_label(event_model(event.source), event.source)

    @admin.display(description="operation", ordering="op")
    def operation(self, event: OutboxEvent) -> str:
        """What happened to the row."""
        return str(event.get_op_display())

    @admin.display(description="object key", ordering="object_key")
    def key_column(self, event: OutboxEvent) -> SafeString | str:
        """The row, or that it is the whole table."""
        return "(the whole table)" if event.object_key is None else display.text(event.object_key, longest=90)

    @admin.display(description="path", ordering="path")
    def path_column(self, event: OutboxEvent) -> str:
        """The watched path that brought the event, where it is not the row's own."""
        return event.path or display.EMPTY

    @admin.display(description="age", ordering="-created_at")
    def age(self, event: OutboxEvent) -> str:
        """How long the event has waited."""
        return timesince(event.created_at)

    @admin.display(description="in the index")
    def indexed(self, event: OutboxEvent) -> SafeString | str:
        """The object that the index knows under this key."""
        data = _indexed(event)
        if data is None:
            return display.EMPTY
        return format_html(
            '<a href="{}">{}</a>',
            display.change_url(self.admin_site, ExternalData, data.pk),
            display.text(data.title.strip() or data.object_key, longest=90),
        )


def _indexed(event: OutboxEvent) -> Any:
    model = event_model(event.source)
    if model is None or event.object_key is None:
        return None
    using = event._state.db or "default"
    content_type = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
    return ExternalData.objects.using(using).filter(content_type=content_type, object_key=event.object_key).first()
