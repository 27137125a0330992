"""The admin of reactions: what waits, what ran, what failed and why, and another try."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.reactions.retry import retry_deliveries


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
        """Whether the user may let runs begin."""
        return self.granted(request, "change")

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
        """Let those that failed run now."""
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
