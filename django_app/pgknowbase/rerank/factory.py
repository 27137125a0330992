"""The rerankers that the settings name, one per process."""

from pgknowbase.conf import get_settings
from pgknowbase.core.backends import Backends
from pgknowbase.rerank.base import Reranker

rerankers: Backends[Reranker] = Backends("reranker", "RERANKERS", Reranker)


def get_reranker(alias: str) -> Reranker:
    """The reranker of one entry of ``PGKNOWBASE["RERANKERS"]``.

    It is built once per process and shared by all threads. A changed entry, as in tests, builds another one.

    Raises:
        ConfigurationError: the alias is unknown, the backend cannot be imported, or refuses its options.
        MissingExtraError: the backend needs a package that is absent.
    """
    return rerankers.get(alias, get_settings().rerankers)
