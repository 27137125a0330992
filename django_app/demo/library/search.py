"""One search over both source models, for the page and for the command line."""

from dataclasses import dataclass
from operator import attrgetter

from demo.library.models import Entry, Module
from pgknowbase.models import ExternalData

MODULE_KIND = "module"


@dataclass(frozen=True, slots=True)
class Hit:
    """One result; ``text`` is the chunk that matched, ``similarity`` its cosine similarity to the query."""

    name: str
    title: str
    kind: str
    library: str
    summary: str
    text: str
    similarity: float


def find(query: str, *, library: str = "", kind: str = "", limit: int = 10) -> list[Hit]:
    """Search modules and entries by meaning.

    The filters apply inside the search: there are ``limit`` hits whenever so many rows pass them.

    Args:
        query: a question in plain words.
        library: ``"python"``, ``"django"``, or ``""`` for both.
        kind: ``"module"``, ``"class"``, ``"function"``, ``"method"``, or ``""`` for all.
        limit: hits at most, the best first.

    Raises:
        PgKnowbaseError: the search cannot be answered.
    """
    hits: list[Hit] = []
    if kind in ("", MODULE_KIND):
        hits += _find_modules(query, library, limit)
    if kind != MODULE_KIND:
        hits += _find_entries(query, library, kind, limit)
    # Similarities of one model's vectors are comparable, so the two lists merge by them.
    return sorted(hits, key=attrgetter("similarity"), reverse=True)[:limit]


def anything_indexed() -> bool:
    """Whether the index holds any object that can be found."""
    return ExternalData.objects.filter(status="completed").exists()


def _find_modules(query: str, library: str, limit: int) -> list[Hit]:
    modules = Module.objects.filter(library=library) if library else Module.objects.all()
    return [
        Hit(
            name=module.name,
            title=module.name,
            kind=MODULE_KIND,
            library=module.library,
            summary=module.summary,
            text=_chunk_text(module.matched_chunk, module.get_external_title()),
            similarity=module.similarity,
        )
        for module in modules.semantic_search(query, limit=limit)
    ]


def _find_entries(query: str, library: str, kind: str, limit: int) -> list[Hit]:
    entries = Entry.objects.select_related("module")
    if library:
        entries = entries.filter(module__library=library)
    if kind:
        entries = entries.filter(kind=kind)
    return [
        Hit(
            name=entry.qualname,
            title=f"{entry.qualname}{entry.signature}",
            kind=entry.kind,
            library=entry.module.library,
            summary=entry.summary,
            text=_chunk_text(entry.matched_chunk, entry.get_external_title()),
            similarity=entry.similarity,
        )
        for entry in entries.semantic_search(query, limit=limit)
    ]


def _chunk_text(chunk: str, title: str) -> str:
    """The chunk without the title that was embedded with it."""
    return chunk.removeprefix(f"{title}\n")
