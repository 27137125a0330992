"""The embedders that the settings name, one per process."""

from pgknowbase.conf import get_settings
from pgknowbase.core.backends import Backends
from pgknowbase.embeddings.base import Embedder

embedders: Backends[Embedder] = Backends("embedding", "EMBEDDINGS", Embedder, ("model", "dimensions"))


def get_embedder(alias: str | None = None) -> Embedder:
    """The embedder of one entry of ``PGKNOWBASE["EMBEDDINGS"]``, by default of the one that ``SPACE`` names.

    It is built once per process and shared by all threads. A changed entry, as in tests, builds another one.

    Raises:
        ConfigurationError: the alias is unknown, the backend cannot be imported, or refuses its options.
        MissingExtraError: the backend needs a package or weights that are absent.
    """
    settings = get_settings()
    return embedders.get(settings.space.embedding if alias is None else alias, settings.embeddings)
