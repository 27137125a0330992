"""How many threads a worker may have: each holds a database connection, and a pool or a role may allow only a few."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections

from pgknowbase.core import gateway
from pgknowbase.errors import ConfigurationError

logger = logging.getLogger("pgknowbase.worker")

# Which stage moves in with which other one, as long as there are too many threads. A stage then waits for the batch of
# its neighbour: other spaces wait for the active one anyway, and words are quickly made.
MERGES = (
    ("background", "vectorizer"),
    ("keywords", "relay"),
    ("reactions", "vectorizer"),
    ("reactions", "relay"),
    ("vectorizer", "relay"),
)


@dataclass(frozen=True, slots=True)
class Allotment:
    """How the connections of a worker are shared out, beside the one of its heartbeat.

    ``stages``: names of stages by thread. ``runs``: threads that run reactions; 0: the thread of their stage does.
    ``has_spare``: whether one more is left, for the build of a vector index.
    """

    stages: list[list[str]]
    runs: int
    has_spare: bool = True


def available_connections(using: str) -> int | None:
    """The connections that a process may have at the same time: the least limit of pool, role and database, or None."""
    connection: Any = connections[using]
    limits = [connection.pool.max_size] if connection.settings_dict["OPTIONS"].get("pool") else []
    limits += [limit for limit in gateway.fetch(using, "connection_limits")[0] if limit is not None]
    return min(limits, default=None)


def allot(stages: Sequence[str], runs: int, available: int | None) -> Allotment:
    """Threads for these stages and for so many runs of reactions.

    >>> allot(["relay", "vectorizer", "keywords"], 0, 3).stages
    [['relay', 'keywords'], ['vectorizer']]

    Raises:
        ConfigurationError: fewer than two connections: a batch would keep the heartbeat from its connection.
    """
    if available is None or available >= 1 + len(stages) + runs:
        has_spare = available is None or available > 1 + len(stages) + runs
        return Allotment([[name] for name in stages], runs, has_spare)
    if available < 2:
        raise ConfigurationError(
            "A worker needs two connections at least, one of them for its heartbeat, and may have only one: raise"
            " max_size of the pool in DATABASES, or CONNECTION LIMIT of the role or the database."
        )
    threads = available - 1
    runs = min(runs, max(threads - len(stages), 1 if threads > 2 else 0))
    return Allotment(_merged(stages, threads - runs), runs, has_spare=False)


def allot_connections(stages: Sequence[str], runs: int, using: str) -> Allotment:
    """As ``allot``, with what the database ``using`` allows; says so where that is fewer than a worker likes."""
    available, wanted = available_connections(using), 1 + len(stages) + runs
    found = allot(stages, runs, available)
    if available is not None and available < wanted:
        logger.warning(
            "a worker of this project uses %d connections and may have %d on %r: its stages share %d threads, and"
            " reactions have %d. Raise max_size of the pool, or CONNECTION LIMIT of the role or the database.",
            wanted,
            available,
            using,
            len(found.stages),
            found.runs,
        )
    return found


def _merged(stages: Sequence[str], count: int) -> list[list[str]]:
    threads = {name: [name] for name in stages}
    for name, into in MERGES:
        if len(threads) > count and name in threads and into in threads:
            threads[into] += threads.pop(name)
    return list(threads.values())
