"""Chat over the index: each answer is retrieved with the rights of its user, and cites its sources.

``conversation`` answers a question. It calls ``retrieval``, which finds passages; ``prompt``, which presents them to
the model as data; ``llm``, the model; ``citations``, which drops markers that do not name a passage; and ``store``,
which keeps sessions and messages.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.chat.conversation import Answered, Found, Part, Text, aask, ask, reply, stream
    from pgknowbase.chat.store import astart, start

__all__ = ["Answered", "Found", "Part", "Text", "aask", "ask", "astart", "reply", "start", "stream"]

_MODULES = {
    "Answered": "conversation",
    "Found": "conversation",
    "Part": "conversation",
    "Text": "conversation",
    "aask": "conversation",
    "ask": "conversation",
    "astart": "store",
    "reply": "conversation",
    "start": "store",
    "stream": "conversation",
}


def __getattr__(name: str) -> Any:
    # Lazy: the app must be importable before Django has loaded the models.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
