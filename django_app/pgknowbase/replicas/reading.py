"""Where one search reads: the servers that it asks, one after another, until one answers."""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.replicas import servers
from pgknowbase.replicas.freshness import Freshness, FreshServer, State

Answer = TypeVar("Answer")


class Reading:
    """The servers that one search asks, one after another, until one answers.

    Args:
        database: the alias of the primary.
        first: the server that the routers chose. A replica stands for all of them; another alias for itself.
        freshness: what the search must see; None: anything.
        alone: the caller has chosen ``first``: no other replica is asked in its place.

    >>> reading = Reading("default", "replica_1")
    >>> reading.run(lambda alias: list(Article.objects.using(alias).keyword_search("gears")))
    """

    def __init__(self, database: str, first: str, freshness: Freshness | None = None, *, alone: bool = False) -> None:
        self.database, self.first, self.alone = database, first, alone
        self._fresh = None if freshness is None else FreshServer(database, freshness)
        self._alias: str | None = None
        self._failed: set[str] = set()
        self._lock = Lock()

    @property
    def alias(self) -> str:
        """The server that is asked. The first call chooses it, and waits as ``freshness`` says.

        Raises:
            FreshnessError: the token is of another cluster, or of the future.
            NotYetFreshError: no server has what the token says, and ``if_stale`` is ``error``.
        """
        with self._lock:
            if self._alias is None:
                self._alias = self._choose()
            return self._alias

    @property
    def state(self) -> State | None:
        """What the answer is; None without a token."""
        return None if self._fresh is None else self._fresh.state

    def run(self, call: Callable[[str], Answer]) -> Answer:
        """What ``call`` returns for the alias of the first server that answers."""
        while True:
            alias = self.alias
            try:
                return call(alias)
            except (DatabaseError, InterfaceError) as error:
                if not self.move_on(alias, error):
                    raise

    def move_on(self, alias: str, error: BaseException) -> bool:
        """Whether another server may answer what ``alias`` failed to; from then on it is the one that is asked."""
        if self.alone or alias not in servers.replicas_of(self.database) or not servers.can_ask_another(alias, error):
            return False
        if connections[alias].in_atomic_block:
            return False  # the caller's transaction has failed
        servers.note_failure(alias, error)
        with self._lock:
            self._failed.add(alias)
            self._alias = None
        return True

    def _choose(self) -> str:
        if self._fresh is None:
            return self.first if self.alone else next(iter(self._replicas()), self.database)
        return self._fresh.choose(self._replicas())

    def _replicas(self) -> list[str]:
        """The servers beside the primary that the search may ask, the first one first."""
        replicas = servers.replicas_of(self.database)
        if self.alone or self.first not in replicas:
            return [] if self.first == self.database or self.first in self._failed else [self.first]
        # The router has taken its turn already.
        at = replicas.index(self.first)
        return [
            alias
            for alias in [*replicas[at:], *replicas[:at]]
            if alias not in self._failed and servers.is_up(alias) and servers.is_replica(alias, self.database)
        ]
