"""What a stream of an answer consists of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pgknowbase.chat.models import ChatMessage
    from pgknowbase.chat.retrieval import Passage


@dataclass(frozen=True, slots=True)
class Found:
    """First: what was searched for, and the passages that the answer may cite, ``[1]`` first."""

    query: str
    passages: "tuple[Passage, ...]"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Last: the answer as it was stored."""

    message: "ChatMessage"


Part: TypeAlias = Found | Text | Answered
