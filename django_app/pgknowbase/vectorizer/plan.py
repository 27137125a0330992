"""Which chunks of a document stay, and which texts must be embedded."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5


@dataclass(frozen=True, slots=True)
class Kept:
    """A chunk whose embedding stays, with its old and new place; ``digest`` is the md5 of its text."""

    old: int
    new: int
    digest: str


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """The chunks that stay, and the (place, text) pairs that have to be embedded."""

    kept: Sequence[Kept]
    missing: Sequence[tuple[int, str]]


def plan_chunks(wanted: Sequence[str], stored: Mapping[int, str]) -> ChunkPlan:
    """Match the texts that a document has now with the chunks ``stored`` of it, by place first and by text second."""
    kept: list[Kept] = []
    missing: list[tuple[int, str]] = []
    free: dict[str, list[int]] = defaultdict(list)
    for seq, text in sorted(stored.items(), reverse=True):
        if seq >= len(wanted) or wanted[seq] != text:
            free[text].append(seq)
    for seq, text in enumerate(wanted):
        if stored.get(seq) == text:
            kept.append(Kept(seq, seq, _digest(text)))
        elif free[text]:
            kept.append(Kept(free[text].pop(), seq, _digest(text)))
        else:
            missing.append((seq, text))
    return ChunkPlan(kept, missing)


def document_digest(title: str, content: str) -> str:
    """The md5 by which ``pgknowbase_store_open_v1`` knows a document's text again."""
    return _digest(f"{title}\x1f{content}")


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
