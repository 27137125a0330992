"""Filters of the lists of chats."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from pgknowbase.agents.admin.columns import user_lookup
from pgknowbase.agents.admin.filters import MOST_NAMES, NameFilter
from pgknowbase.chat.models import ChatMessage
from pgknowbase.conf import get_settings


class UserFilter(NameFilter):
    """The users who have chats."""

    lookup = "user"
    title = "user"
    parameter_name = "who"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lookup = user_lookup(self.lookup)
        super().__init__(*args, **kwargs)


class MessageUserFilter(UserFilter):
    """The users who have messages."""

    lookup = "session__user"


class MessageModelFilter(NameFilter):
    """The language models that have answered."""

    lookup = "execution__model"
    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = _messages().exclude(execution=None).order_by(self.lookup)
        return [(name, name) for name in rows.values_list(self.lookup, flat=True).distinct()[:MOST_NAMES] if name]


class ModelFilter(MessageModelFilter):
    """Sessions with an answer of a language model."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.value()
        return queryset if name is None else _with_message(queryset, execution__model=name)


class ModeFilter(admin.SimpleListFilter):
    """Sessions with an answer of that kind."""

    title = "answers"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[Any, str]]:
        return [(value, str(label)) for value, label in ChatMessage.Mode.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        mode = self.value()
        return queryset if mode is None else _with_message(queryset, mode=mode)


def _messages() -> "QuerySet[ChatMessage]":
    return ChatMessage.objects.using(get_settings().database)


def _with_message(sessions: "QuerySet[Any]", **conditions: Any) -> "QuerySet[Any]":
    return sessions.filter(Exists(_messages().filter(session=OuterRef("pk"), **conditions)))
