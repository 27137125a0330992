"""Passages for an answer: retrieved with the rights of the user, each with its place in the text of its object."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from pgknowbase.conf import get_settings
from pgknowbase.errors import NotFoundError, SearchError
from pgknowbase.models import Chunk, EmbeddingSpace
from pgknowbase.search import service
from pgknowbase.search.queries import MAX_QUERY_CHARACTERS
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.reading import reading

MAX_REWRITTEN_CHARACTERS = 500


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
        """The hash by which a citation, which keeps no text, tells whether its object still has this text."""
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


def find_passages(query: str, user: Any) -> list[Passage]:
    """The best passages for ``query``, best first. Only what ``user`` may see leaves the database.

    A chunk without a place in the current text cannot be cited, and is left out.
    """
    # What belongs to the passages is read where they are.
    return reading(lambda using: _find_passages(query, user, using))


def _find_passages(query: str, user: Any, using: str) -> list[Passage]:
    settings = get_settings()
    asked = query[:MAX_QUERY_CHARACTERS]
    found = service.search_rows(SearchQuery(query=asked, mode="hybrid", limit=settings.chat.max_passages), viewer=user)
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


def are_relevant(found: Iterable[Passage]) -> bool:
    """Whether any passage is similar enough to answer from.

    The similarity decides, because its scale is absolute. BM25 and the fused score say which passage is best, not
    whether it is good.
    """
    bound = get_settings().chat.min_similarity
    return any(passage.similarity is not None and passage.similarity >= bound for passage in found)


def resolved(citation: dict[str, Any], user: Any, *, around: int) -> tuple[str, str, str] | None:
    """The text before, in and after a citation, in the current text of its object; ``around`` in characters.

    None if the object is gone, ``user`` may not see it (any more), or its text has changed there.
    """
    try:
        _, row = service.find_object(citation["model"], citation["object_key"], viewer=user)
    except (NotFoundError, SearchError):
        return None
    text, start, end = row.content, citation["start"], citation["end"]
    if digest(text[start:end]) != citation["digest"]:
        return None
    return text[max(0, start - around) : start], text[start:end], text[end : end + around]


def find_for_follow_up(question: str, previous: str, user: Any) -> tuple[str, list[Passage]]:
    """The query and passages for a question without a language model to rewrite it.

    A follow-up such as "and on Sundays?" lacks the words of the previous question, and a new question would suffer from
    them. So both are searched for, with and without the words of ``previous``, and the nearer result is returned.
    """
    alone = find_passages(question, user)
    longer = with_previous_words(question, previous)
    if longer == question:
        return question, alone
    together = find_passages(longer, user)
    return (longer, together) if _best_similarity(together) > _best_similarity(alone) else (question, alone)


def with_previous_words(question: str, previous: str) -> str:
    """The question, and after it those words of ``previous`` that it does not have."""
    known = {word.casefold() for word in re.findall(r"\w+", question)}
    added = [word for word in dict.fromkeys(re.findall(r"\w+", previous)) if word.casefold() not in known]
    return " ".join([question, *added])[: max(MAX_REWRITTEN_CHARACTERS, len(question))]


def digest(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _places(hits: list[Any], using: str) -> dict[tuple[int, str, str], int]:
    """The position of each hit's chunk among the chunks of its object."""
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


def _best_similarity(found: Sequence[Passage]) -> float:
    return max((passage.similarity for passage in found if passage.similarity is not None), default=-1.0)
