"""The executors of a worker: one for the active space, one for each other space whose embedder the settings have."""

import logging
import time
from collections.abc import Callable
from typing import Self

from django.db import DatabaseError

from pgknowbase.embeddings.serving import find_embedding
from pgknowbase.errors import ModelChangedError, PgKnowbaseError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.executor import Executor, ExecutorBatch

logger = logging.getLogger("pgknowbase.vectorizer")

# Seconds between two looks at the table of spaces.
LOOK_INTERVAL = 1.0
# Seconds for which a space that cannot be filled is left alone.
RETRY_INTERVAL = 60.0


class ActiveSpaceRunner:
    """Runs the executor of the active space, and another one within a second after another space was activated.

    Args:
        make_executor: makes the executor of a space; of the active one for None.
    """

    def __init__(self, using: str, make_executor: Callable[[EmbeddingSpace | None], Executor]) -> None:
        self.using = using
        self.make_executor = make_executor
        self.executor = make_executor(None)
        self._look_at = time.monotonic() + LOOK_INTERVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.executor.close()

    def run_once(self) -> ExecutorBatch:
        """As ``Executor.run_once``."""
        if time.monotonic() >= self._look_at:
            self._follow_activation()
        try:
            return self.executor.run_once()
        except ModelChangedError:
            return ExecutorBatch()  # the space gets nothing until its model is back; logged whenever it is asked
        except DatabaseError:
            self._look_at = 0.0  # the space may have been rebuilt during its batch
            raise

    def _follow_activation(self) -> None:
        self._look_at = time.monotonic() + LOOK_INTERVAL
        active = EmbeddingSpace.objects.using(self.using).filter(is_active=True).first()
        if active is None or active.pk == self.executor.space.pk:
            return
        if find_embedding(active) is None:
            logger.warning("the settings have no embedder for the space %r, which is active now", active.name)
            return
        executor = self.make_executor(active)
        self.executor.close()
        self.executor = executor


class BackgroundSpaceRunner:
    """Runs the executors of the spaces that are not active, in turn: one batch of one space each time.

    A space that cannot be filled here must not end the worker of the active one: it is left alone for a minute.

    Args:
        make_executor: makes the executor of a space.
    """

    def __init__(self, using: str, make_executor: Callable[[EmbeddingSpace], Executor]) -> None:
        self.using = using
        self.make_executor = make_executor
        self._executors: dict[int, Executor] = {}
        self._retry_at: dict[int, float] = {}
        self._look_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for executor in self._executors.values():
            executor.close()

    def run_once(self) -> ExecutorBatch:
        """One batch of the first space that has work; an idle one where no space has."""
        if time.monotonic() >= self._look_at:
            self._follow_spaces()
        for space_id, executor in list(self._executors.items()):
            try:
                batch = executor.run_once()
            except DatabaseError:
                if EmbeddingSpace.objects.using(self.using).filter(pk=space_id).exists():
                    raise
                self._executors.pop(space_id).close()  # dropped during its batch
                continue
            except PgKnowbaseError as error:
                self._executors.pop(space_id).close()
                self._leave_alone(executor.space, str(error))
                continue
            if not batch.idle:
                self._executors[space_id] = self._executors.pop(space_id)  # to the end of the line
                return batch
        return ExecutorBatch()

    def _follow_spaces(self) -> None:
        self._look_at = time.monotonic() + LOOK_INTERVAL
        spaces = {space.pk: space for space in EmbeddingSpace.objects.using(self.using).filter(is_active=False)}
        for space_id in self._executors.keys() - spaces.keys():
            self._executors.pop(space_id).close()
        for space_id, space in spaces.items():
            if space_id not in self._executors and time.monotonic() >= self._retry_at.get(space_id, 0.0):
                self._add(space)

    def _add(self, space: EmbeddingSpace) -> None:
        try:
            if find_embedding(space) is not None:
                self._executors[space.pk] = self.make_executor(space)
                return
            reason = "no entry of EMBEDDINGS is of its backend, model and dimensions"
        except PgKnowbaseError as error:
            reason = str(error)
        self._leave_alone(space, reason)

    def _leave_alone(self, space: EmbeddingSpace, reason: str) -> None:
        self._retry_at[space.pk] = time.monotonic() + RETRY_INTERVAL
        logger.warning("the space %r is not filled by this worker for now: %s", space.name, reason)
