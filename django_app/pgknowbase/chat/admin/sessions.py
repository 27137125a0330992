"""The admin of ``ChatSession``: conversations of users with the index."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.columns import user_lookup, user_name
from pgknowbase.chat.admin import columns
from pgknowbase.chat.admin.columns import ModeFilter, ModelFilter, UserFilter
from pgknowbase.chat.admin.conversation import render_conversation
from pgknowbase.chat.models import ChatMessage, ChatSession

MAX_MESSAGES = 100


@admin.register(ChatSession)
class ChatSessionAdmin(RunAdmin):
    """Shows sessions with their messages. They can be deleted with the permission to delete them, and never edited."""

    time_field = "updated_at"
    list_display = (
        "title_column", "user_column", "messages_column", "modes_column", "cost_column", "updated_at", "models_column",
    )  # fmt: skip
    list_filter = (UserFilter, "updated_at", ModelFilter, ModeFilter)
    list_select_related = ("user",)
    search_help_text = "Searches title, messages and user."
    ordering = ("-updated_at",)
    fields = ("user_column", "created_at", "updated_at", "tokens", "cost_column", "conversation_column")
    readonly_fields = ("user_column", "tokens", "cost_column", "conversation_column")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = columns.with_totals(super().get_queryset(request))
        return rows

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("title", "messages__content", user_lookup())

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
        totals = {name: f"total_{name}" for name in ("messages", "tokens", "cost")}
        names = ("modes", "models", "created_at", "updated_at")
        return {"id": "id", "title": "title", "user": user_lookup(), **totals, **{name: name for name in names}}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_model_permission(request, "delete")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The permission to delete sessions includes seeing which."""
        return super().has_view_permission(request, obj) or self.has_model_permission(request, "delete")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Messages are deleted with their session, without a permission of their own, which nobody has."""
        listed, counts, needed, protected = super().get_deleted_objects(objs, request)
        return listed, counts, needed - {ChatMessage._meta.verbose_name}, protected

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.seen_by = request  # links depend on the user, and Django does not pass the request to columns
        return found

    # Columns

    @admin.display(description="title", ordering="title")
    def title_column(self, session: ChatSession) -> SafeString:
        """The title, or the key."""
        return display.text(str(session), longest=90)

    @admin.display(description="user", ordering="user_id")
    def user_column(self, session: ChatSession) -> str:
        """The user."""
        return user_name(session)

    @admin.display(description="messages", ordering="total_messages")
    def messages_column(self, session: Any) -> str:
        """How many messages."""
        return f"{session.total_messages:,}"

    @admin.display(description="answers")
    def modes_column(self, session: Any) -> SafeString | str:
        """The kinds of its answers."""
        return columns.mode_labels(session.modes)

    @admin.display(description="models")
    def models_column(self, session: Any) -> str:
        """The language models that answered."""
        return ", ".join(filter(None, session.models or [])) or display.EMPTY

    @admin.display(description="tokens", ordering="total_tokens")
    def tokens(self, session: Any) -> str:
        """The tokens of all answers."""
        return f"{session.total_tokens:,}"

    @admin.display(description="cost", ordering="total_cost")
    def cost_column(self, session: Any) -> str:
        """In dollars, where all prices are known."""
        return columns.cost(session)

    @admin.display(description="messages")
    def conversation_column(self, session: Any) -> SafeString:
        """The first messages, in order."""
        messages = list(session.messages.select_related("execution", "rewriting").order_by("pk")[:MAX_MESSAGES])
        shown = render_conversation(messages, self.admin_site, session.seen_by)
        if session.total_messages <= MAX_MESSAGES or not display.may_open(
            self.admin_site, ChatMessage, session.seen_by
        ):
            return shown
        name = f"admin:{ChatMessage._meta.app_label}_{ChatMessage._meta.model_name}_changelist"
        address = f"{reverse(name, current_app=self.admin_site.name)}?session__id__exact={session.pk}"
        link = format_html('<p><a href="{}">All {} messages</a></p>', address, f"{session.total_messages:,}")
        return format_html("{}{}", shown, link)
