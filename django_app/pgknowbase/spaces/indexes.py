"""The vector indexes of the chunk stores: listing them, and building one without blocking writers."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace

LOOK_INTERVAL = 0.3
# As in pgknowbase_space_create_v1. With pgvector's own 64, clusters of vectors are cut off from the others.
M = 16
EF_CONSTRUCTION = 200
# What an element of the graph takes in memory beside its vector, rather too much than too little: a graph that does not
# fit is built several times slower.
GRAPH_BYTES_PER_LINK = 40
GRAPH_BYTES = 400
NO_ROOM = {"53100", "53200"}  # disk_full, out_of_memory

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """One HNSW index; ``source`` is the content type's id of the only model in it, None for all; sizes in bytes.

    ``kind`` and ``dimensions``: what it is made on, see ``pgknowbase_index_column_v1``. ``one_per_vector``: it leaves
    copies out, see ``pgknowbase_mark_copy``.
    """

    space_id: int
    space: str
    schema: str
    name: str
    source: int | None
    valid: bool
    kind: str
    dimensions: int
    one_per_vector: bool
    options: tuple[str, ...]
    bytes: int
    store_bytes: int

    @property
    def parameters(self) -> tuple[int, int]:
        """m and ef_construction."""
        given = dict(option.split("=", 1) for option in self.options)
        return int(given.get("m", 16)), int(given.get("ef_construction", 64))  # pgvector's defaults


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """The index to build: of all chunks of a space, or of those of one source model."""

    space: EmbeddingSpace
    source: int | None = None
    m: int = M
    ef_construction: int = EF_CONSTRUCTION
    concurrently: bool = True

    def describes(self, index: VectorIndex) -> bool:
        """Whether a search can use ``index``, and it has these parameters and no copies."""
        parameters = (self.m, self.ef_construction)
        return fits(index, self.space) and index.one_per_vector and index.parameters == parameters

    @property
    def name(self) -> str:
        """The name of the index, which identifies it in later calls."""
        return f"{self.space.store_table}_hnsw" + ("" if self.source is None else f"_{self.source}")


def indexes(using: str) -> list[VectorIndex]:
    """All vector indexes of all spaces, those that are not valid too."""
    rows = gateway.fetch_dicts(using, "indexes")
    return [VectorIndex(**{**row, "options": tuple(row["options"])}) for row in rows]


def fits(index: VectorIndex, space: EmbeddingSpace) -> bool:
    """Whether searches of ``space`` can use the index: it is valid, and made on what they compare."""
    return index.valid and (index.kind, index.dimensions) == (space.index, space.dimensions)


def has_index(using: str, space: EmbeddingSpace) -> bool:
    """Whether a vector index that searches can use has all chunks of ``space``."""
    return any(fits(one, space) and one.source is None for one in indexes(using) if one.space_id == space.pk)


def index_state(using: str, space: EmbeddingSpace) -> str:
    """Of the index of all chunks of ``space``: 'valid', 'being built', 'missing' or 'not needed'."""
    if has_index(using, space):
        return "valid"
    if gateway.fetch(using, "index_builders", schema=space.store_schema, table=space.store_table):
        return "being built"
    size = gateway.fetch_value(using, "store_bytes", schema=space.store_schema, table=space.store_table)
    small = get_settings().search.exact_search_max_chunks * space.chunk_bytes
    return "missing" if (size or 0) > small else "not needed"


def build_index(using: str, spec: IndexSpec, progress: Progress = lambda phase, done, total: None) -> bool:
    """Build the index; False if it is there, valid, of the same kind and parameters.

    What an interrupted build has left is dropped. An index with other parameters serves until the new one is valid.
    Another build on the same store is waited for.

    Raises:
        SpaceError: a transaction is open.
    """
    if connections[using].in_atomic_block:
        raise SpaceError(f"The index {spec.name!r} cannot be built inside a transaction: call it outside.")
    build = IndexBuild(using, spec)
    build.start()
    try:
        while build.is_alive():
            build.join(LOOK_INTERVAL)
            if build.pid is not None:
                for phase, blocks, blocks_total, tuples, tuples_total in gateway.fetch(
                    using, "index_progress", pid=build.pid
                ):
                    done, total = (blocks, blocks_total) if blocks_total else (tuples, tuples_total)
                    progress(phase, done, total)
    except BaseException:
        build.cancel()
        build.join()
        raise
    if build.failure is not None:
        raise build.failure
    return build.built


class IndexBuild(threading.Thread):
    """The build of one vector index, as ``build_index`` does it, on a thread and a connection of its own.

    Attributes:
        built: whether there is a new index, at the end.
        failure: the error with which the build ended, or None.
        pid: of the server's process that builds, for ``pg_stat_progress_create_index``.
    """

    def __init__(self, using: str, spec: IndexSpec) -> None:
        super().__init__(name="pgknowbase-index")
        self.using, self.spec = using, spec
        self.built = False
        self.pid: int | None = None
        self.failure: BaseException | None = None
        self._cancelled = threading.Event()
        self._raw: Any = None

    def run(self) -> None:
        """Build the index; what a failed build leaves is invalid, and dropped."""
        try:
            self.build_here()
        finally:
            connections.close_all()

    def build_here(self) -> None:
        """As ``run``, in the calling thread and on its connection."""
        try:
            self._replace()
        except BaseException as error:  # noqa: BLE001 - carried over to whoever waits
            self.failure = error
        finally:
            self.pid = None

    def _replace(self) -> None:
        self._wait_for_others()
        spec, schema = self.spec, self.spec.space.store_schema
        known = {one.name: one for one in indexes(self.using) if one.space_id == spec.space.pk}
        there, fresh = known.get(spec.name), f"{spec.name}_new"
        if there is not None and spec.describes(there):
            return
        if there is not None and not there.valid:
            gateway.drop_index(self.using, schema, spec.name)
            there = None
        if fresh in known:
            gateway.drop_index(self.using, schema, fresh)
        self._create(spec.name if there is None else fresh)
        if there is not None:
            gateway.drop_index(self.using, schema, spec.name)
            gateway.rename_index(self.using, schema, fresh, spec.name)
        self.built = True

    def cancel(self) -> None:
        """Cancel the running statement, from another thread."""
        self._cancelled.set()
        if self._raw is not None:
            self._raw.cancel()

    def _wait_for_others(self) -> None:
        """Two builds on one table would wait for each other until one of them fails."""
        space = self.spec.space
        while builders := gateway.fetch(
            self.using, "index_builders", schema=space.store_schema, table=space.store_table
        ):
            ((self.pid,), *_) = builders
            if self._cancelled.wait(LOOK_INTERVAL):
                raise SpaceError(f"The index {self.spec.name!r} was not built: another one is being built. Try again.")

    def _create(self, name: str) -> None:
        using, spec, space = self.using, self.spec, self.spec.space
        column = gateway.fetch_value(using, "index_column", index=space.index, dimensions=space.dimensions)
        self.pid = gateway.fetch_value(using, "backend_pid")
        self._raw = connections[using].connection
        settings = _has_session(using)
        try:
            for parallel in (True, False):
                if settings:
                    self._prepare(parallel=parallel)
                try:
                    gateway.create_index(
                        using, space.store_schema, space.store_table, name, column,
                        source=spec.source, m=spec.m, ef_construction=spec.ef_construction,
                        concurrently=spec.concurrently,
                    )  # fmt: skip
                    return
                except OperationalError as error:
                    # What processes share is in /dev/shm, which is small in containers.
                    if not parallel or not settings or getattr(error.__cause__, "sqlstate", None) not in NO_ROOM:
                        raise
                    self._clean_up(name)
        except BaseException:
            self._clean_up(name)
            raise
        finally:
            self._raw = None
            if settings and connections[using].connection is not None:
                gateway.fetch(using, "index_settings_reset")

    def _prepare(self, *, parallel: bool) -> None:
        """Memory in which the whole graph has room, and no time limit, for this session."""
        space = self.spec.space
        component = 1 / 8 if space.index == "binary" else 2
        gateway.fetch(
            self.using,
            "index_settings",
            schema=space.store_schema,
            table=space.store_table,
            chunk_bytes=space.chunk_bytes,
            element_bytes=int(component * space.dimensions) + GRAPH_BYTES_PER_LINK * self.spec.m + GRAPH_BYTES,
            parallel=parallel,
        )

    def _clean_up(self, name: str) -> None:
        with suppress(DatabaseError, InterfaceError):
            if [one for one in indexes(self.using) if one.name == name and not one.valid]:
                gateway.drop_index(self.using, self.spec.space.store_schema, name)


def _has_session(using: str) -> bool:
    """Whether settings of a session stay with it. A pooler in transaction mode would hand them to somebody else."""
    return not connections[using].settings_dict.get("DISABLE_SERVER_SIDE_CURSORS", False)
