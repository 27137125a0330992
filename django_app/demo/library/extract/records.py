"""What the extractor hands over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Library: TypeAlias = Literal["python", "django"]
Kind: TypeAlias = Literal["class", "function", "method"]

LIBRARIES: tuple[Library, ...] = ("python", "django")
# Characters. Most one-line methods ("Return the foo.") would only push better answers down.
MIN_DOCSTRING = {"module": 20, "class": 20, "function": 20, "method": 40}


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """One public module; ``docstring`` may be empty."""

    library: Library
    name: str
    docstring: str


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One class, function or method; ``qualname`` is the full dotted name a person would import."""

    library: Library
    module: str
    kind: Kind
    qualname: str
    signature: str
    docstring: str
    line: int | None = None

    @property
    def name(self) -> str:
        """The last part of ``qualname``."""
        return self.qualname.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class LibraryRecords:
    """All of one library; every ``EntryRecord.module`` is among ``modules``."""

    modules: Sequence[ModuleRecord]
    entries: Sequence[EntryRecord]


@dataclass(frozen=True, slots=True)
class Definition:
    """A documented class, function or method, named relative to its module (``GzipFile.peek``)."""

    kind: Kind
    name: str
    signature: str
    docstring: str
    line: int | None = None
