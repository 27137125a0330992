"""Builds the embedders that the settings name, one per process."""

import os
import threading
from collections.abc import Callable

from django.utils.module_loading import import_string

from pgknowbase.conf import EmbeddingSettings, get_settings
from pgknowbase.embeddings.base import Embedder
from pgknowbase.errors import ConfigurationError

_embedders: dict[tuple[str, str], Embedder] = {}
_lock = threading.Lock()


def get_embedder(alias: str | None = None) -> Embedder:
    """The embedder of one entry of ``PGKNOWBASE["EMBEDDINGS"]``, by default of the one that ``SPACE`` names.

    It is built once per process and shared by all threads. A changed entry, as in tests, builds another one.

    Raises:
        ConfigurationError: the alias is unknown, the backend cannot be imported, or refuses its options.
        MissingExtraError: the backend needs a package or weights that are absent.
    """
    settings = get_settings()
    alias = settings.space.embedding if alias is None else alias
    if alias not in settings.embeddings:
        raise ConfigurationError(
            f"The embedding {alias!r} is unknown; EMBEDDINGS has {sorted(settings.embeddings)!r}: use one "
            "of these or add it."
        )
    entry = settings.embeddings[alias]
    key = (alias, repr(entry))
    if (found := _embedders.get(key)) is not None:
        return found
    # Loading a model takes seconds and hundreds of megabytes: two threads must not do it at once.
    with _lock:
        if key not in _embedders:
            _embedders[key] = _build(alias, entry)
        return _embedders[key]


def _build(alias: str, entry: EmbeddingSettings) -> Embedder:
    try:
        backend = import_string(entry.backend)
    except ImportError as error:
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the embedding {alias!r} cannot be imported ({error}): correct BACKEND."
        ) from error
    if not (isinstance(backend, type) and issubclass(backend, Embedder)):
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the embedding {alias!r} is not an Embedder: "
            "derive it from pgknowbase.embeddings.Embedder."
        )
    factory: Callable[..., Embedder] = backend
    options = {name.lower(): value for name, value in entry.options.items()}
    try:
        return factory(model=entry.model, dimensions=entry.dimensions, **options)
    except TypeError as error:
        raise ConfigurationError(
            f"The backend {entry.backend!r} of the embedding {alias!r} refuses its options "
            f"{sorted(entry.options)!r} "
            f"({error}): correct OPTIONS."
        ) from error


def _forget() -> None:
    """Drop the embedders of the parent process: their thread pools and connections do not survive a fork."""
    global _lock
    _embedders.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
