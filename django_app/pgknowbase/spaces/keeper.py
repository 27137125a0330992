"""The keeper of the vector indexes: a worker builds those that searches miss, once a load is over."""

import logging
import time
from dataclasses import dataclass
from uuid import UUID

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.indexes import IndexBuild, IndexSpec

logger = logging.getLogger("pgknowbase.worker")

# Seconds between two looks: while no index is missing, and while one is.
LOOK_INTERVAL = 10.0
DUE_LOOK_INTERVAL = 2.0
# A store that grows by more than this between two looks is being loaded, even where its queue is short.
GROWTH = 1.02
# Seconds for which searches are left without an index however much waits, and again as often as the store has grown by
# more than this meanwhile: a load from a slow provider takes days, and a fast one ends before an index would help it.
MAX_WAIT = 600.0
MAX_WAIT_GROWTH = 1.25
# Seconds until the next attempt after a build that has failed.
RETRY_INTERVAL = 300.0
# Seconds for which what a stopped build has left may be dropped.
STOP_INTERVAL = 3.0


@dataclass
class _Missing:
    """An index that is missing, and the bytes of its store at the last look, and when its latest wait began."""

    bytes: int
    wait_began: float
    bytes_then: int

    def look(self, now: float, size: int, is_loading: bool) -> bool:
        """Whether it is due, now that its store has ``size`` bytes."""
        is_growing = size > GROWTH * self.bytes
        self.bytes = size
        if not (is_loading or is_growing):
            return True
        if now - self.wait_began <= MAX_WAIT:
            return False
        if size <= MAX_WAIT_GROWTH * self.bytes_then:
            return True
        self.wait_began, self.bytes_then = now, size
        return False


class IndexKeeper:
    """Builds the vector indexes that searches miss, on a thread of its own; of all workers the oldest does it.

    Inserting into a vector index takes ten times as long as everything else that a chunk needs, and building it
    afterwards a fraction of that. So a store gets its index when it has more chunks than searches compare one by one
    (``SEARCH["EXACT_SEARCH_MAX_CHUNKS"]``), and of a large load when that is done, or after ten minutes in which it
    has added little to what was there. Until then searches compare every chunk.

    Args:
        using: the alias of the database.
        worker: the id of the worker's heartbeat.
        has_connection: whether there is a connection left for the thread. Else the builds hold up the caller.
    """

    def __init__(self, using: str, worker: UUID, *, has_connection: bool = True) -> None:
        self.using = using
        self.worker = worker
        self.has_connection = has_connection
        self._look_at = 0.0
        self._missing: dict[tuple[int, int | None], _Missing] = {}
        self._build: IndexBuild | None = None

    def run_if_due(self) -> None:
        """Look, at most every few seconds, and start the build of an index that is due."""
        now = time.monotonic()
        if now < self._look_at or self._is_building():
            return
        rows = self._rows()
        self._look_at = now + (DUE_LOOK_INTERVAL if rows else LOOK_INTERVAL)
        known, self._missing = self._missing, {}
        due = None
        for space, source, size, is_loading in rows:
            before = known.get((space, source))
            missing = self._missing[space, source] = before or _Missing(size, now, size)
            if before is not None and missing.look(now, size, is_loading):
                due = due or (space, source)
        if due is not None:
            self._start(*due)

    def finish(self) -> None:
        """Build what is missing, in this thread."""
        for space, source, _, is_loading in self._rows():
            if not is_loading:
                self._start(space, source, here=True)

    def stop(self) -> None:
        """Cancel a build. What it leaves is dropped, or else by the next worker."""
        while self._build is not None and self._build.is_alive():
            self._build.cancel()  # and then the drop, if that waits for somebody
            self._build.join(STOP_INTERVAL)

    def _rows(self) -> list[gateway.Row]:
        return gateway.fetch(
            self.using,
            "indexes_due",
            worker=self.worker,
            exact_search_max_chunks=get_settings().search.exact_search_max_chunks,
        )

    def _start(self, space_id: int, source: int | None, *, here: bool = False) -> None:
        space = EmbeddingSpace.objects.using(self.using).filter(pk=space_id).first()
        if space is None:
            return
        self._build = IndexBuild(self.using, IndexSpec(space, source))
        logger.info("building the vector index %s", self._build.spec.name)
        if here or not self.has_connection:
            self._build.build_here()
            self._is_building()
        else:
            self._build.start()

    def _is_building(self) -> bool:
        if self._build is None:
            return False
        if self._build.is_alive():
            return True
        build, self._build, self._missing = self._build, None, {}
        self._look_at = 0.0
        if build.failure is not None:
            self._look_at = time.monotonic() + RETRY_INTERVAL
            logger.warning(
                "the vector index %s was not built, and searches compare every chunk: %s; next attempt in %.0f s, or"
                " run %r",
                build.spec.name,
                str(build.failure).strip(),
                RETRY_INTERVAL,
                command_line(f"pgknowbase_space index {build.spec.space.name}", self.using),
            )
        else:
            logger.info("the vector index %s is built", build.spec.name)
        return False
