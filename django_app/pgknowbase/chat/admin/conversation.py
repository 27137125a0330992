"""Messages and what they cite, as the pages of the admin show them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from pgknowbase.admin.display import change_url, may_open
from pgknowbase.agents.admin.columns import dollars
from pgknowbase.agents.models import AgentExecution
from pgknowbase.chat.admin.columns import mode_label
from pgknowbase.chat.models import ChatMessage
from pgknowbase.chat.retrieval import digest
from pgknowbase.conf import get_settings
from pgknowbase.core.keys import object_key, parse_keys
from pgknowbase.models import Document, ExternalData

# Code, in which brackets are no markers, and markers.
PARTS = re.compile(r"(`+[^`]*`+|\[\d{1,4}\])")
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation, with links to its object (``url``) and to the object's entry in the index (``index_url``)."""

    number: int
    title: str
    name: str
    chunk: int
    start: int
    end: int
    url: str
    index_url: str
    gone: bool


@dataclass(frozen=True, slots=True)
class CitedObjects:
    """The cited objects that the index has, and their admin pages as far as the user may open them."""

    rows: dict[Place, str]
    index: dict[Place, str]
    known: set[Place]

    def cited(self, message: ChatMessage) -> list[Cited]:
        """The citations of one message."""
        return [self._cited(each) for each in message.citations]

    def _cited(self, stored: dict[str, Any]) -> Cited:
        place = stored["model"], stored["object_key"]
        return Cited(
            stored["number"],
            stored["title"],
            ":".join(place),
            stored["chunk"],
            stored["start"],
            stored["end"],
            url=self.rows.get(place, ""),
            index_url=self.index.get(place, ""),
            gone=place not in self.known,
        )


def cited_objects(messages: Iterable[ChatMessage], site: AdminSite, request: HttpRequest) -> CitedObjects:
    """The objects that ``messages`` cite, read with two statements per source model."""
    using, keys = get_settings().database, defaultdict(set)
    for message in messages:
        for stored in message.citations:
            keys[stored["model"]].add(stored["object_key"])
    found = CitedObjects({}, {}, set())
    may_see_index = may_open(site, ExternalData, request)
    for label, wanted in keys.items():
        model = _model(label)
        if model is None:
            continue
        source = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
        data = ExternalData.objects.using(using).filter(content_type=source, object_key__in=wanted)
        for pk, key in data.values_list("pk", "object_key"):
            found.known.add((label, key))
            if may_see_index:
                found.index[label, key] = change_url(site, ExternalData, pk)
        if may_open(site, model, request):
            rows = model._base_manager.using(using).filter(pk__in=parse_keys(model, wanted))
            for pk in rows.values_list("pk", flat=True):
                found.rows[label, object_key(model, pk)] = change_url(site, model, pk)
    return found


def passages_of(message: ChatMessage) -> dict[int, str]:
    """The passages that one message cites, by number, where the text of their objects has not changed."""
    using, found = get_settings().database, {}
    for stored in message.citations:
        model = _model(stored["model"])
        if model is None:
            continue
        source = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
        documents = Document.objects.using(using).filter(source=source.pk, id=stored["object_key"])
        for document in documents:
            text = (document.content or "")[stored["start"] : stored["end"]]
            if digest(text) == stored["digest"]:
                found[stored["number"]] = text
    return found


def split_markers(content: str, citations: Sequence[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """The parts of an answer: text with None, and each marker with the number of its citation."""
    numbers = {f"[{stored['number']}]": int(stored["number"]) for stored in citations}
    return [(part, numbers.get(part)) for part in PARTS.split(content) if part]


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


def render_conversation(messages: list[ChatMessage], site: AdminSite, request: HttpRequest) -> SafeString:
    """The HTML of messages in order, with what they cite."""
    objects = cited_objects(messages, site, request)
    may_see_runs = may_open(site, AgentExecution, request)
    may_see_messages = may_open(site, ChatMessage, request)
    turns = [
        {
            "message": message,
            "url": change_url(site, ChatMessage, message.pk) if may_see_messages else "",
            "parts": split_markers(message.content, message.citations),
            "mode": mode_label(message.mode),
            "cited": objects.cited(message),
            "model": message.execution.model if message.execution else "",
            "run": change_url(site, AgentExecution, message.execution.pk) if message.execution and may_see_runs else "",
            "tokens": message.usage.tokens,
            "cost": "" if message.usage.tokens == 0 else dollars(message.usage.cost, known=False),
        }
        for message in messages
    ]
    return SafeString(render_to_string("admin/pgknowbase_chat/conversation.html", {"turns": turns}))
