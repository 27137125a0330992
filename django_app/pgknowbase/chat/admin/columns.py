"""Columns and filters of the lists of chats."""

from typing import Any

from django.contrib import admin
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
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.agents.admin.columns import MOST_NAMES, NameFilter, dollars, user_lookup
from pgknowbase.chat.models import ChatMessage
from pgknowbase.conf import get_settings

MARKS = {"model": "completed", "extractive": "processing", "unknown": "pending", "failed": "dead"}
SHORT = {"model": "answered", "extractive": "passages", "unknown": "not known", "failed": "incomplete"}
UNPRICED = Q(execution__isnull=False, execution__cost=None) | Q(rewriting__isnull=False, rewriting__cost=None)
NOTHING = Value(0, output_field=DecimalField())
TOKENS = Coalesce(F("execution__tokens_used"), 0) + Coalesce(F("rewriting__tokens_used"), 0)
COST = Coalesce(F("execution__cost"), NOTHING) + Coalesce(F("rewriting__cost"), NOTHING)


def with_totals(sessions: "QuerySet[Any]") -> Any:
    """Sessions with the totals of their answers; ``total_cost`` is null where any price is unknown.

    In subqueries, because joins to the messages would multiply the rows that other filters of the list join.
    """
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
    """Messages with the totals of their runs."""
    return messages.annotate(
        total_tokens=TOKENS, total_cost=Case(When(UNPRICED, then=None), default=COST, output_field=DecimalField())
    )


def mode_label(mode: str) -> SafeString | str:
    """How an answer was made, as a coloured label."""
    return display.label(MARKS.get(mode, "idle"), SHORT.get(mode, mode)) if mode else display.EMPTY


def mode_labels(modes: list[str] | None) -> SafeString | str:
    """The labels of several answers."""
    return format_html_join(" ", "{}", ((mode_label(mode),) for mode in modes or [])) or display.EMPTY


def cost(row: Any) -> str:
    """The cost in US dollars; unknown where any price is."""
    return dollars(row.total_cost or None, known=row.total_cost is not None)


class UserFilter(NameFilter):
    """Filters sessions by user."""

    lookup = "user"
    title = "user"
    parameter_name = "who"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lookup = user_lookup(self.lookup)
        super().__init__(*args, **kwargs)


class MessageUserFilter(UserFilter):
    """Filters messages by user."""

    lookup = "session__user"


class MessageModelFilter(NameFilter):
    """Filters messages by the language model that answered."""

    lookup = "execution__model"
    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = _all_messages().exclude(execution=None).order_by(self.lookup)
        return [(name, name) for name in rows.values_list(self.lookup, flat=True).distinct()[:MOST_NAMES] if name]


class ModelFilter(MessageModelFilter):
    """Filters sessions by a language model that has answered in them."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.value()
        return queryset if name is None else _with_message(queryset, execution__model=name)


class ModeFilter(admin.SimpleListFilter):
    """Filters sessions by a kind of answer in them."""

    title = "answers"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[Any, str]]:
        return [(value, str(label)) for value, label in ChatMessage.Mode.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        mode = self.value()
        return queryset if mode is None else _with_message(queryset, mode=mode)


def _all_messages() -> "QuerySet[ChatMessage]":
    return ChatMessage.objects.using(get_settings().database)


def _with_message(sessions: "QuerySet[Any]", **conditions: Any) -> "QuerySet[Any]":
    return sessions.filter(Exists(_all_messages().filter(session=OuterRef("pk"), **conditions)))
