"""Tools for the tests of projects that use pgknowbase. They need neither pytest nor a network."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.testing.chat import ChatProvider, ToolCall
    from pgknowbase.testing.index import assert_in_sync, assert_ranks, drain, make_due
    from pgknowbase.testing.lexical import LexicalEmbedder
    from pgknowbase.testing.provider import Fault, FaultyProvider

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
    "assert_in_sync": "index",
    "assert_ranks": "index",
    "drain": "index",
    "make_due": "index",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
