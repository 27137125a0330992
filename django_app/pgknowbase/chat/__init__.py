"""Chat over what the index knows: each answer is found as its user, and cites its sources.

``conversation`` is the way of one answer; ``retrieval`` finds passages, ``prompt`` shows them to the model as data,
``citations`` lets no marker through that names nothing, ``record`` keeps sessions and messages.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.chat.conversation import aask, ask, stream
    from pgknowbase.chat.parts import Answered, Found, Part, Text
    from pgknowbase.chat.record import astart, start

__all__ = ["Answered", "Found", "Part", "Text", "aask", "ask", "astart", "start", "stream"]

_LAZY = {
    "Answered": "parts",
    "Found": "parts",
    "Part": "parts",
    "Text": "parts",
    "aask": "conversation",
    "ask": "conversation",
    "astart": "record",
    "start": "record",
    "stream": "conversation",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
