"""Passages for an answer: found as the user, each with the place in its object that it was taken from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from pgknowbase.conf import get_settings
from pgknowbase.keys import normal_key
from pgknowbase.models import Chunk, EmbeddingSpace, ExternalData
from pgknowbase.registry import sources
from pgknowbase.search.visibility import visible_data


@dataclass(frozen=True, slots=True)
class Passage:
    """One chunk: ``text`` stands in the object's content from character ``start`` up to, not including, ``end``."""

    model: str
    object_key: str
    title: str
    text: str
    chunk: int
    start: int
    end: int
    similarity: float | None
    keyword_score: float | None

    @property
    def digest(self) -> str:
        """By which it is known whether the object still says so; citations keep no text."""
        return digest(self.text)

    def citation(self, number: int) -> dict[str, Any]:
        """The passage as a citation, in JSON."""
        return {
            "number": number,
            "model": self.model,
            "object_key": self.object_key,
            "title": self.title,
            "chunk": self.chunk,
            "start": self.start,
            "end": self.end,
            "digest": self.digest,
        }


def passages(query: str, user: Any) -> list[Passage]:
    """The best passages for a search text, best first; only what ``user`` may see leaves the database.

    A chunk without a place in the text as it is now cannot be cited, and is left out.
    """
    settings = get_settings()
    using = settings.database
    asked = query[: settings.search.max_query_characters]
    found: Any = ExternalData.objects.using(using).search(
        asked, leg="hybrid", limit=settings.chat.passages, visible_to=user
    )
    hits = [hit for hit in found if hit.matched_span is not None and hit.matched_chunk]
    if not hits:
        return []
    template = EmbeddingSpace.objects.using(using).filter(is_active=True).values_list("template", flat=True).first()
    places = _places(hits, using)
    return [
        _passage(hit, str(template), places[key], using)
        for hit in hits
        if (key := (hit.content_type_id, hit.object_key, hit.matched_chunk)) in places
    ]


def relevant(found: Iterable[Passage]) -> bool:
    """Whether anything is near enough to answer from.

    The similarity counts: BM25 and the fused score say which passage is best, not whether it is good.
    """
    bound = get_settings().chat.min_similarity
    return any(passage.similarity is not None and passage.similarity >= bound for passage in found)


def resolved(citation: dict[str, Any], user: Any, *, around: int) -> tuple[str, str, str] | None:
    """The text before, in and after a citation as its object says it now.

    None if the object is gone, is not (any longer) for ``user``, or says something else there.
    """
    using = get_settings().database
    source = next((each for each in sources() if each.label == citation["model"]), None)
    if source is None:
        return None
    known = ExternalData.objects.using(using).of_key(source, normal_key(source.model, citation["object_key"]))
    row = visible_data(known.filter(is_active=True), [source], user).first()
    if row is None:
        return None
    text, start, end = row.content, citation["start"], citation["end"]
    if digest(text[start:end]) != citation["digest"]:
        return None
    return text[max(0, start - around) : start], text[start:end], text[end : end + around]


def digest(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _places(hits: list[Any], using: str) -> dict[tuple[int, str, str], int]:
    """The number of each hit's chunk in its object."""
    wanted = Q()
    for hit in hits:
        wanted |= Q(source=hit.content_type_id, object_key=hit.object_key, text=hit.matched_chunk)
    rows = Chunk.objects.using(using).filter(wanted).values_list("source", "object_key", "text", "position")
    return {(source, key, text): position for source, key, text, position in rows}


def _passage(hit: Any, template: str, chunk: int, using: str) -> Passage:
    span = hit.matched_span
    before = len(template.partition("$chunk")[0].replace("$title", hit.title))
    model = ContentType.objects.db_manager(using).get_for_id(hit.content_type_id).model_class()
    return Passage(
        model=model._meta.label if model else "",
        object_key=hit.object_key,
        title=hit.title,
        text=hit.matched_chunk[before : before + span.upper - span.lower],
        chunk=chunk,
        start=span.lower,
        end=span.upper,
        similarity=hit.similarity,
        keyword_score=hit.keyword_score,
    )
