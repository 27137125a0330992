"""How chats look in lists and on their pages, and what they cost."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import (
    Case,
    Count,
    DecimalField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.agents.admin.columns import dollars
from pgknowbase.agents.models import AgentExecution
from pgknowbase.chat.admin.citations import linked, pages_of
from pgknowbase.chat.models import ChatMessage
from pgknowbase.conf import get_settings

MARKS = {"model": "completed", "extractive": "processing", "unknown": "pending", "failed": "dead"}
SHORT = {"model": "answered", "extractive": "passages", "unknown": "not known", "failed": "broken off"}
UNPRICED = Q(execution__isnull=False, execution__cost=None) | Q(rewriting__isnull=False, rewriting__cost=None)
NOTHING = Value(0, output_field=DecimalField())
TOKENS = Coalesce(F("execution__tokens_used"), 0) + Coalesce(F("rewriting__tokens_used"), 0)
COST = Coalesce(F("execution__cost"), NOTHING) + Coalesce(F("rewriting__cost"), NOTHING)


def with_totals(sessions: "QuerySet[Any]") -> Any:
    """Sessions with what their answers came to; ``total_cost`` is null where any price is unknown."""
    messages = ChatMessage.objects.using(get_settings().database).filter(session=OuterRef("pk")).order_by()
    grouped = messages.values("session")

    def total(expression: Any, **options: Any) -> Subquery:
        return Subquery(grouped.annotate(total=expression).values("total"), **options)

    return sessions.annotate(
        total_messages=Coalesce(total(Count("pk")), 0),
        total_tokens=Coalesce(total(Sum(TOKENS), output_field=IntegerField()), 0),
        total_cost=Case(
            When(Exists(messages.filter(UNPRICED)), then=None),
            default=Coalesce(total(Sum(COST)), NOTHING),
            output_field=DecimalField(),
        ),
        models=total(ArrayAgg("execution__model", filter=Q(execution__isnull=False), distinct=True)),
        modes=total(ArrayAgg("mode", filter=~Q(mode=""), distinct=True)),
    )


def with_usage(messages: "QuerySet[Any]") -> Any:
    """Messages with what their runs came to."""
    return messages.annotate(
        total_tokens=TOKENS, total_cost=Case(When(UNPRICED, then=None), default=COST, output_field=DecimalField())
    )


def mode_label(mode: str) -> SafeString | str:
    """How an answer was made, with its mark."""
    return display.label(MARKS.get(mode, "idle"), SHORT.get(mode, mode)) if mode else display.EMPTY


def mode_labels(modes: list[str] | None) -> SafeString | str:
    """The same of several."""
    return format_html_join(" ", "{}", ((mode_label(mode),) for mode in modes or [])) or display.EMPTY


def cost(row: Any) -> str:
    """In dollars; unknown where any price is."""
    return dollars(row.total_cost or None, known=row.total_cost is not None)


def conversation(messages: list[ChatMessage], site: AdminSite, request: HttpRequest) -> SafeString:
    """Messages one after the other, with what they cite."""
    pages = pages_of(messages, site, request)
    may_see_runs = display.may_open(site, AgentExecution, request)
    may_open = display.may_open(site, ChatMessage, request)
    turns = [
        {
            "message": message,
            "url": display.change_url(site, ChatMessage, message.pk) if may_open else "",
            "parts": linked(message.content, message.citations),
            "mode": mode_label(message.mode),
            "cited": pages.cited(message),
            "model": message.execution.model if message.execution else "",
            "run": display.change_url(site, AgentExecution, message.execution.pk)
            if message.execution and may_see_runs
            else "",
            "tokens": message.usage.tokens,
            "cost": "" if message.usage.tokens == 0 else dollars(message.usage.cost, known=False),
        }
        for message in messages
    ]
    return SafeString(render_to_string("admin/pgknowbase_chat/conversation.html", {"turns": turns}))


def page_link(site: AdminSite, row: Any, text: str) -> SafeString:
    """A row's page."""
    return format_html('<a href="{}">{}</a>', display.change_url(site, type(row), row.pk), text)
