"""The admin of ``ChatMessage``: single questions and answers."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.columns import link, user_lookup, user_name
from pgknowbase.chat.admin import columns
from pgknowbase.chat.admin.columns import MessageModelFilter, MessageUserFilter
from pgknowbase.chat.admin.conversation import passages_of, render_conversation
from pgknowbase.chat.models import ChatMessage
from pgknowbase.errors import ServerDownError
from pgknowbase.models import ExternalData


@admin.register(ChatMessage)
class ChatMessageAdmin(RunAdmin):
    """Shows messages, the latest first. They can only be deleted with their session."""

    list_display = (
        "content_short", "role", "mode_column", "user_column", "session_column", "tokens",
        "cost_column", "created_at",
    )  # fmt: skip
    linked_lookups = ("session__id__exact",)
    list_filter = ("role", "mode", MessageModelFilter, MessageUserFilter, "created_at")
    list_select_related = ("session", "session__user", "execution")
    search_help_text = "Searches texts, what was searched for, titles and user."
    ordering = ("-created_at", "-pk")
    deferred = (
        "execution__messages", "execution__output_data", "execution__session_data", "execution__error",
        "execution__input_prompt",
    )  # fmt: skip
    fields = (
        "session_column", "user_column", "role", "mode_column", "created_at", "conversation_column", "passages_column",
        "answer_column", "search_query", "runs_column", "tokens", "cost_column",
    )  # fmt: skip
    readonly_fields = (
        "session_column", "user_column", "mode_column", "conversation_column", "passages_column", "answer_column",
        "runs_column", "tokens", "cost_column",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = columns.with_usage(super().get_queryset(request))
        return rows

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("content", "search_query", "session__title", user_lookup("session__user"))

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
        related = {"session": "session__title", "user": user_lookup("session__user"), "model": "execution__model"}
        totals = {name: f"total_{name}" for name in ("tokens", "cost")}
        names = (
            "id", "session_id", "role", "mode", "content", "reply_to_id", "search_query", "citations", "dropped",
            "created_at",
        )  # fmt: skip
        return {**{name: name for name in names}, **related, **totals}

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.seen_by = request  # links depend on the user, and Django does not pass the request to columns
        return found

    # Columns

    @admin.display(description="message")
    def content_short(self, message: ChatMessage) -> SafeString:
        """The beginning of the message."""
        return display.text(message.content or "(empty)", longest=90)

    @admin.display(description="answer", ordering="mode")
    def mode_column(self, message: ChatMessage) -> SafeString | str:
        """How an answer was made."""
        return columns.mode_label(message.mode)

    @admin.display(description="user", ordering="session__user_id")
    def user_column(self, message: ChatMessage) -> str:
        """The user of its session."""
        return user_name(message.session)

    @admin.display(description="session")
    def session_column(self, message: ChatMessage) -> SafeString:
        """The session."""
        return link(self.admin_site, message.session, str(message.session)[:60])

    @admin.display(description="model", ordering="execution__model")
    def model_column(self, message: ChatMessage) -> str:
        """The language model that answered."""
        return message.execution.model if message.execution else display.EMPTY

    @admin.display(description="tokens", ordering="total_tokens")
    def tokens(self, message: Any) -> str:
        """The tokens of its runs."""
        return f"{message.total_tokens:,}"

    @admin.display(description="cost", ordering="total_cost")
    def cost_column(self, message: Any) -> str:
        """In dollars, where all prices are known."""
        return columns.cost(message)

    @admin.display(description="message")
    def conversation_column(self, message: Any) -> SafeString:
        """The text with what it cites."""
        return render_conversation([message], self.admin_site, message.seen_by)

    @admin.display(description="passages")
    def passages_column(self, message: Any) -> SafeString | str:
        """The cited passages in the current texts of their objects, for users who may see the index."""
        if not display.may_open(self.admin_site, ExternalData, message.seen_by):
            return display.EMPTY
        try:
            found = passages_of(message)
        except ServerDownError as error:
            return display.preformatted(str(error))
        parts = []
        for each in message.citations:
            number = each["number"]
            gone = "The object is gone, or its text has changed there."
            parts.append((number, display.preformatted(found[number]) if number in found else gone))
        inside = format_html_join("", '<li value="{}">{}</li>', parts)
        return format_html('<ol class="pgknowbase-cited">{}</ol>', inside) if inside else display.EMPTY

    @admin.display(description="answer")
    def answer_column(self, message: Any) -> SafeString | str:
        """The answer to a question, or the question of an answer."""
        other = message.reply_to or ChatMessage.objects.using(message._state.db).filter(reply_to=message).first()
        return link(self.admin_site, other, str(other)) if other else display.EMPTY

    @admin.display(description="runs")
    def runs_column(self, message: Any) -> SafeString | str:
        """The runs of agents behind an answer."""
        links = ((link(self.admin_site, run, str(run)),) for run in message.runs)
        return format_html_join(" ", "{}", links) or display.EMPTY
