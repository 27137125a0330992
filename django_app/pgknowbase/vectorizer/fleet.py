"""The executors of a worker: one for the active space, and one for each other whose embedder the settings have."""

import logging
import time
from collections.abc import Callable
from typing import Self

from django.db import DatabaseError

from pgknowbase.errors import PgKnowbaseError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.executor import Executor, ExecutorBatch
from pgknowbase.vectorizer.spaces import embedding_of

logger = logging.getLogger("pgknowbase.vectorizer")

LOOK_INTERVAL = 1.0
REST = 60.0

Make = Callable[[EmbeddingSpace | None], Executor]


class Serving:
    """The executor of the active space; another one within a second after another space was activated.

    Args:
        make: makes the executor of a space; of the active one for None.
    """

    def __init__(self, using: str, make: Make) -> None:
        self.using = using
        self.make = make
        self.executor = make(None)
        self._due = time.monotonic() + LOOK_INTERVAL

    def run_once(self) -> ExecutorBatch:
        """As ``Executor.run_once``."""
        if time.monotonic() >= self._due:
            self._look()
        try:
            return self.executor.run_once()
        except DatabaseError:
            self._due = 0.0  # the space may have been rebuilt under its batch
            raise

    def _look(self) -> None:
        self._due = time.monotonic() + LOOK_INTERVAL
        active = EmbeddingSpace.objects.using(self.using).filter(is_active=True).first()
        if active is None or active.pk == self.executor.space.pk:
            return
        if embedding_of(active) is None:
            logger.warning("the settings have no embedder for the space %r, which is active now", active.name)
            return
        executor = self.make(active)
        self.executor.close()
        self.executor = executor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.executor.close()


class Filling:
    """The executors of the spaces that are not active. One turn is one batch of one of them, in turn."""

    def __init__(self, using: str, make: Callable[[EmbeddingSpace], Executor]) -> None:
        self.using = using
        self.make = make
        self._executors: dict[int, Executor] = {}
        self._resting: dict[int, float] = {}
        self._due = 0.0

    def run_once(self) -> ExecutorBatch:
        """One batch for the first space that has work; none where there is no such space."""
        if time.monotonic() >= self._due:
            self._look()
        for number, executor in list(self._executors.items()):
            try:
                batch = executor.run_once()
            except DatabaseError:
                if EmbeddingSpace.objects.using(self.using).filter(pk=number).exists():
                    raise
                self._executors.pop(number).close()  # dropped under its batch
                continue
            except PgKnowbaseError as error:
                self._executors.pop(number).close()
                self._rest(executor.space, str(error))
                continue
            if not batch.idle:
                self._executors[number] = self._executors.pop(number)
                return batch
        return ExecutorBatch()

    def _look(self) -> None:
        self._due = time.monotonic() + LOOK_INTERVAL
        spaces = {space.pk: space for space in EmbeddingSpace.objects.using(self.using).filter(is_active=False)}
        for number in self._executors.keys() - spaces.keys():
            self._executors.pop(number).close()
        for number, space in spaces.items():
            if number not in self._executors and time.monotonic() >= self._resting.get(number, 0.0):
                self._add(space)

    def _add(self, space: EmbeddingSpace) -> None:
        try:
            if embedding_of(space) is not None:
                self._executors[space.pk] = self.make(space)
                return
            reason = "no entry of EMBEDDINGS is of its backend, model and dimensions"
        except PgKnowbaseError as error:
            reason = str(error)
        self._rest(space, reason)

    def _rest(self, space: EmbeddingSpace, reason: str) -> None:
        """What is wrong with another space must not end the worker of the active one."""
        self._resting[space.pk] = time.monotonic() + REST
        logger.warning("the space %r is not filled by this worker for now: %s", space.name, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for executor in self._executors.values():
            executor.close()
