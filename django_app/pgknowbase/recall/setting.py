"""``hnsw.ef_search`` of searches: what it is, and keeping another one."""

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.sql_files import read_sql
from pgknowbase.vectorizer.spaces import active_space


class RecallError(PgKnowbaseError):
    """A measurement cannot be made, or gives nothing to keep."""


def search_settings(using: str) -> dict[str, str]:
    """What the dense search sets for itself, by name."""
    return dict(
        each.split("=", 1) for each in gateway.fetch_value(using, read_sql("11_recall/search_settings.sql")) or ()
    )


def current_ef_search(using: str, *, limit: int = 10, filtered: bool = False) -> int:
    """How many chunks a search for ``limit`` rows, with filters or without, takes from the vector index at a time."""
    space = active_space(using)
    tuned, index = (space.ef_search, space.index) if space else (None, "halfvec")
    used: int = gateway.fetch_value(using, gateway.EF_SEARCH_USED, limit, filtered, tuned, index)
    return used


def measured_space(using: str) -> EmbeddingSpace:
    """The active space.

    Raises:
        RecallError: there is none.
    """
    space = active_space(using)
    if space is None:
        raise RecallError(f"Database {using!r} has no active embedding space: run 'manage.py migrate'.")
    return space


def keep(using: str, ef_search: int) -> EmbeddingSpace:
    """Let every search of the active space walk the vector index with ``ef_search`` from now on.

    Raises:
        RecallError: the store is so small that searches do not use the index.
    """
    space = measured_space(using)
    size = gateway.fetch_value(using, gateway.STORE_BYTES, space.store_schema, space.store_table)
    if size <= get_settings().search.exact_below * space.chunk_bytes:
        raise RecallError(
            f"The space {space.name!r} is so small that searches compare every chunk (EXACT_BELOW), so there is nothing"
            " to keep: measure again when it has grown."
        )
    EmbeddingSpace.objects.using(using).filter(pk=space.pk).update(ef_search=ef_search)
    space.ef_search = ef_search
    return space
