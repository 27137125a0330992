"""Builds the rerankers that the settings name, one per process."""

import os
import threading
from collections.abc import Callable

from django.utils.module_loading import import_string

from pgknowbase.conf import RerankerSettings, get_settings
from pgknowbase.errors import ConfigurationError
from pgknowbase.rerank.base import Reranker

_rerankers: dict[tuple[str, str], Reranker] = {}
_lock = threading.Lock()


def get_reranker(alias: str) -> Reranker:
    """The reranker of one entry of ``PGKNOWBASE["RERANKERS"]``.

    It is built once per process and shared by all threads. A changed entry, as in tests, builds another one.

    Raises:
        ConfigurationError: the alias is unknown, the backend cannot be imported, or refuses its options.
        MissingExtraError: the backend needs a package that is absent.
    """
    entries = get_settings().rerankers
    if alias not in entries:
        raise ConfigurationError(
            f"The reranker {alias!r} is unknown; RERANKERS has {sorted(entries)!r}: use one of these or add it."
        )
    entry = entries[alias]
    key = (alias, repr((entry.backend, entry.model, entry.options)))
    with _lock:
        if key not in _rerankers:
            _rerankers[key] = _build(alias, entry)
        return _rerankers[key]


def _build(alias: str, entry: RerankerSettings) -> Reranker:
    try:
        backend = import_string(entry.backend)
    except ImportError as error:
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the reranker {alias!r} cannot be imported ({error}): correct BACKEND."
        ) from error
    if not (isinstance(backend, type) and issubclass(backend, Reranker)):
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the reranker {alias!r} is not a Reranker: derive it from"
            " pgknowbase.rerank.Reranker."
        )
    factory: Callable[..., Reranker] = backend
    try:
        return factory(model=entry.model, **{name.lower(): value for name, value in entry.options.items()})
    except TypeError as error:
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the reranker {alias!r} refuses its options {sorted(entry.options)!r}"
            f" ({error}): correct OPTIONS."
        ) from error


def _forget() -> None:
    """Drop the rerankers of the parent process: their connections do not survive a fork."""
    global _lock
    _rerankers.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
