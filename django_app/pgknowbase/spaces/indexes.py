"""The vector indexes of the chunk stores: listing them, and building one without blocking writers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from pgknowbase.core import gateway
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace

LOOK_INTERVAL = 0.3
# As in pgknowbase_space_create_v1. With pgvector's own 64, clusters of vectors are cut off from the others.
M = 16
EF_CONSTRUCTION = 200

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


def build_index(using: str, spec: IndexSpec, progress: Progress = lambda phase, done, total: None) -> bool:
    """Build the index; False if it is there, valid, of the same kind and parameters.

    What an interrupted build has left is dropped. An index with other parameters serves until the new one is valid.

    Raises:
        SpaceError: a transaction is open; or another build of it runs.
    """
    if connections[using].in_atomic_block:
        raise SpaceError(f"The index {spec.name!r} cannot be built inside a transaction: call it outside.")
    known = {one.name: one for one in indexes(using) if one.space_id == spec.space.pk}
    there, fresh = known.get(spec.name), f"{spec.name}_new"
    if there is not None and spec.describes(there):
        return False
    if there is not None and not there.valid:
        gateway.drop_index(using, spec.space.store_schema, spec.name)
        there = None
    if fresh in known:
        gateway.drop_index(using, spec.space.store_schema, fresh)
    name = spec.name if there is None else fresh
    _build(using, spec, name, progress)
    if there is not None:
        gateway.drop_index(using, spec.space.store_schema, spec.name)
        gateway.rename_index(using, spec.space.store_schema, fresh, spec.name)
    return True


def _build(using: str, spec: IndexSpec, name: str, progress: Progress) -> None:
    """Build on a thread and a connection of its own; this thread reports progress, and cancels it when interrupted."""
    builder = _Builder(using, spec, name)
    builder.start()
    try:
        while builder.is_alive():
            builder.join(LOOK_INTERVAL)
            if builder.pid is not None:
                for phase, blocks, blocks_total, tuples, tuples_total in gateway.fetch(
                    using, "index_progress", pid=builder.pid
                ):
                    done, total = (blocks, blocks_total) if blocks_total else (tuples, tuples_total)
                    progress(phase, done, total)
    except BaseException:
        builder.cancel()
        builder.join()
        raise
    if builder.failure is not None:
        raise builder.failure


class _Builder(threading.Thread):
    def __init__(self, using: str, spec: IndexSpec, name: str) -> None:
        super().__init__(name="pgknowbase-index")
        self.using, self.spec, self.index = using, spec, name
        self.pid: int | None = None
        self.failure: BaseException | None = None
        self._raw: Any = None

    def run(self) -> None:
        """Build the index; what a failed build leaves is invalid, and dropped."""
        spec = self.spec
        try:
            self.pid = gateway.fetch_value(self.using, "backend_pid")
            self._raw = connections[self.using].connection
            space = spec.space
            column = gateway.fetch_value(self.using, "index_column", index=space.index, dimensions=space.dimensions)
            gateway.create_index(
                self.using, space.store_schema, space.store_table, self.index, column,
                source=spec.source, m=spec.m, ef_construction=spec.ef_construction, concurrently=spec.concurrently,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
            self.failure = error
            self._clean_up()
        finally:
            self.pid = None
            connections.close_all()

    def _clean_up(self) -> None:
        left = [one for one in indexes(self.using) if one.name == self.index and not one.valid]
        if left:
            gateway.drop_index(self.using, self.spec.space.store_schema, self.index)

    def cancel(self) -> None:
        """Cancel the running statement."""
        if self._raw is not None:
            self._raw.cancel()
