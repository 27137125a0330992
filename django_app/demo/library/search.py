"""One search over both source models, for the page and for the command line."""

from dataclasses import dataclass
from operator import attrgetter

from demo.library.models import Entry, Module
from pgknowbase.models import ExternalData

MODULE_KIND = "module"


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer; ``text`` is the chunk that matched, ``similarity`` its cosine with the question."""

    name: str
    title: str
    kind: str
    library: str
    summary: str
    text: str
    similarity: float


def find(query: str, *, library: str = "", kind: str = "", limit: int = 10) -> list[Hit]:
    """The best ``limit`` answers, best first; the filters hold inside the search.

    Raises:
        PgKnowbaseError: the search cannot be answered.
    """
    hits: list[Hit] = []
    if kind in ("", MODULE_KIND):
        hits += _find_modules(query, library, limit)
    if kind != MODULE_KIND:
        hits += _find_entries(query, library, kind, limit)
    return sorted(hits, key=attrgetter("similarity"), reverse=True)[:limit]


def anything_indexed() -> bool:
    """Whether a worker has been here."""
    return ExternalData.objects.filter(status="completed").exists()


def _find_modules(query: str, library: str, limit: int) -> list[Hit]:
    modules = Module.objects.filter(library=library) if library else Module.objects.all()
    return [
        Hit(
            m.name,
            m.name,
            MODULE_KIND,
            m.library,
            m.summary,
            _chunk_text(m.matched_chunk, m.get_external_title()),
            m.similarity,
        )
        for m in modules.semantic_search(query, limit=limit)
    ]


def _find_entries(query: str, library: str, kind: str, limit: int) -> list[Hit]:
    entries = Entry.objects.select_related("module")
    if library:
        entries = entries.filter(module__library=library)
    if kind:
        entries = entries.filter(kind=kind)
    return [
        Hit(
            name=e.qualname,
            title=f"{e.qualname}{e.signature}",
            kind=e.kind,
            library=e.module.library,
            summary=e.summary,
            text=_chunk_text(e.matched_chunk, e.get_external_title()),
            similarity=e.similarity,
        )
        for e in entries.semantic_search(query, limit=limit)
    ]


def _chunk_text(chunk: str, title: str) -> str:
    """The chunk without the title that was embedded with it."""
    return chunk.removeprefix(f"{title}\n")
