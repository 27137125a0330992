"""For the tests of projects that use pgknowbase; needs no pytest."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.testing.asserts import assert_in_sync, assert_ranks
    from pgknowbase.testing.chat import ChatProvider, ToolCall
    from pgknowbase.testing.lexical import LexicalEmbedder
    from pgknowbase.testing.provider import Fault, FaultyProvider
    from pgknowbase.testing.work import drain, make_due

__all__ = [
    "ChatProvider",
    "Fault",
    "FaultyProvider",
    "LexicalEmbedder",
    "ToolCall",
    "assert_in_sync",
    "assert_ranks",
    "drain",
    "make_due",
]

_LAZY = {
    "ChatProvider": "chat",
    "ToolCall": "chat",
    "Fault": "provider",
    "FaultyProvider": "provider",
    "LexicalEmbedder": "lexical",
    "assert_in_sync": "asserts",
    "assert_ranks": "asserts",
    "drain": "work",
    "make_due": "work",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
