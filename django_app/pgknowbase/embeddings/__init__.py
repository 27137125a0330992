"""Embedding backends: ``get_embedder()`` returns the one that the settings name."""

import importlib
from typing import TYPE_CHECKING, Any

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, split_batches
from pgknowbase.embeddings.factory import get_embedder

if TYPE_CHECKING:
    from pgknowbase.embeddings.local import LocalEmbedder
    from pgknowbase.embeddings.openai import OpenAIEmbedder
    from pgknowbase.embeddings.pydantic_ai import PydanticAIEmbedder
    from pgknowbase.embeddings.static import StaticEmbedder

__all__ = [
    "BatchLimits",
    "Embedder",
    "Embeddings",
    "LocalEmbedder",
    "OpenAIEmbedder",
    "PydanticAIEmbedder",
    "StaticEmbedder",
    "Vector",
    "get_embedder",
    "split_batches",
]

_LAZY = {
    "LocalEmbedder": "local",
    "OpenAIEmbedder": "openai",
    "PydanticAIEmbedder": "pydantic_ai",
    "StaticEmbedder": "static",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
