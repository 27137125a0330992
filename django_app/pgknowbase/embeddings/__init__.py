"""What turns text into vectors: ``get_embedder()`` gives the backend that the settings name."""

import importlib
from typing import TYPE_CHECKING, Any

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector
from pgknowbase.embeddings.factory import get_embedder
from pgknowbase.embeddings.validation import split_batches

if TYPE_CHECKING:
    from pgknowbase.embeddings.local import LocalEmbedder
    from pgknowbase.embeddings.openai import OpenAIEmbedder
    from pgknowbase.embeddings.static import StaticEmbedder

__all__ = [
    "BatchLimits",
    "Embedder",
    "Embeddings",
    "LocalEmbedder",
    "OpenAIEmbedder",
    "StaticEmbedder",
    "Vector",
    "get_embedder",
    "split_batches",
]

_LAZY = {"LocalEmbedder": "local", "OpenAIEmbedder": "openai", "StaticEmbedder": "static"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
