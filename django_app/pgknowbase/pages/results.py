"""The results of a search as pages show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.utils.safestring import SafeString, mark_safe

from pgknowbase.search.schemas import SearchPage, SearchResult
from pgknowbase.sources.registry import Source

LONGEST_LABEL = 70


@dataclass(frozen=True, slots=True)
class FoundRow:
    """One result as the template shows it.

    ``snippet`` is HTML, and so is ``title`` where the object has one. ``url`` is "" where there is none.
    """

    title: str
    snippet: SafeString
    url: str
    kind: str
    result: SearchResult


def found_rows(found: SearchPage, known: Sequence[Source]) -> list[FoundRow]:
    """The results of a page; ``known``: the source models that were searched."""
    kinds = {source.label: str(source.model._meta.verbose_name).capitalize() for source in known}
    return [
        FoundRow(
            # The database has escaped everything in both but its own marks.
            title=mark_safe(result.highlighted_title) if result.highlighted_title else label_of(result),  # noqa: S308
            snippet=mark_safe(result.snippet or ""),  # noqa: S308
            url=_link(result.url),
            kind=kinds.get(result.model, result.model),
            result=result,
        )
        for result in found.results
    ]


def _link(url: str | None) -> str:
    """``url`` if it leads to a page; '' for what would run as a script, such as the address that a user typed in."""
    try:
        return url if url and urlsplit(url).scheme.lower() in ("", "http", "https") else ""
    except ValueError:
        return ""


def label_of(result: SearchResult) -> str:
    """The title of an object; of one without a title, the beginning of what is known of it."""
    text = " ".join((result.title or result.description or result.chunk or result.object_key).split())
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
