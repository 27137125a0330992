"""What is due without an event: objects that failed and are to be tried again, and documents to be refreshed."""

from collections.abc import Mapping

from pgknowbase import gateway
from pgknowbase.registry import Source

# Small, because events that come meanwhile wait for the batch.
LARGEST_BATCH = 100


def due_sources(by_id: Mapping[int, Source]) -> tuple[list[int], list[int]]:
    """The ids of all sources, and of those whose documents age."""
    return list(by_id), [number for number, source in by_id.items() if source.config.refresh_after is not None]


def claim_due(by_id: Mapping[int, Source], wanted: dict[str, set[str]], using: str, limit: int) -> int:
    """Lock some of the objects that are due and put their keys to ``wanted``, by label; returns how many.

    Must run inside a transaction. Objects whose model has no ``refresh_after`` any more are not refreshed.
    """
    due = gateway.fetch(using, gateway.DUE_CLAIM, *due_sources(by_id), min(limit, LARGEST_BATCH))
    for number, key in due:
        wanted[by_id[number].label].add(key)
    return len(due)
