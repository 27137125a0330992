"""The second stage of a search: rerankers, which score how well a text answers a query."""

import importlib
from typing import TYPE_CHECKING, Any

from pgknowbase.rerank.base import Reranker, Scores
from pgknowbase.rerank.factory import get_reranker

if TYPE_CHECKING:
    from pgknowbase.rerank.cross_encoder import CrossEncoderReranker
    from pgknowbase.rerank.http import HTTPReranker

__all__ = ["CrossEncoderReranker", "HTTPReranker", "Reranker", "Scores", "get_reranker"]

_LAZY = {"CrossEncoderReranker": "cross_encoder", "HTTPReranker": "http"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
