"""What answers cite, with the admin pages of the objects."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

from pgknowbase.admin.display import change_url, may_open
from pgknowbase.chat.models import ChatMessage
from pgknowbase.chat.retrieval import digest
from pgknowbase.conf import get_settings
from pgknowbase.keys import object_key, parse_keys
from pgknowbase.models import Document, ExternalData

# Code, in which brackets are no markers, and markers.
PARTS = re.compile(r"(`+[^`]*`+|\[\d{1,4}\])")
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation. ``url``: of the object's own page; ``index_url``: of what the index knows of it."""

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
class Pages:
    """Admin pages of objects, as far as the user may open them, and which objects the index has."""

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


def pages_of(messages: Iterable[ChatMessage], site: AdminSite, request: HttpRequest) -> Pages:
    """The pages of all that ``messages`` cite, by two statements for each source model."""
    using, keys = get_settings().database, defaultdict(set)
    for message in messages:
        for stored in message.citations:
            keys[stored["model"]].add(stored["object_key"])
    found = Pages({}, {}, set())
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
                found.rows[label, object_key(pk)] = change_url(site, model, object_key(pk))
    return found


def passages_of(message: ChatMessage) -> dict[int, str]:
    """The passages of one message by number, where their objects still say so."""
    using, found = get_settings().database, {}
    for stored in message.citations:
        model = _model(stored["model"])
        if model is None:
            continue
        source = ContentType.objects.db_manager(using).get_for_model(model, for_concrete_model=False)
        documents = Document.objects.using(using).filter(source=source.pk, id=stored["object_key"])
        for content in documents.values_list("content", flat=True):
            text = content[stored["start"] : stored["end"]]
            if digest(text) == stored["digest"]:
                found[stored["number"]] = text
    return found


def linked(content: str, citations: Sequence[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """The parts of an answer: text with None, and each marker with the number that it names."""
    numbers = {f"[{stored['number']}]": int(stored["number"]) for stored in citations}
    return [(part, numbers.get(part)) for part in PARTS.split(content) if part]


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
