"""Heartbeats: how workers know of each other who is alive, and who takes over from the dead."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Self
from uuid import UUID, uuid4

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.models import WorkerHeartbeat
from pgknowbase.signals import worker_beat

logger = logging.getLogger("pgknowbase.worker")

Figures = tuple[int, int, int]


class Heartbeat:
    """One row of ``WorkerHeartbeat`` for as long as the block lasts, beaten by a thread with a connection of its own.

    So it goes on during a provider call however long. Each beat also buries the workers that have been silent for
    ``DEAD_AFTER`` seconds.

    Args:
        figures: events taken, documents embedded, and failures so far.
    """

    def __init__(self, using: str, role: WorkerHeartbeat.Role, figures: Callable[[], Figures]) -> None:
        self.worker: UUID = uuid4()
        self.using = using
        self.role = role
        self.figures = figures
        self.settings = get_settings().worker
        self._born = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pgknowbase-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        for _ in range(2):  # the first try may find a connection that was cut long ago
            try:
                gateway.fetch(self.using, gateway.WORKER_END, self.worker)
                return
            except (DatabaseError, InterfaceError) as error:
                connections[self.using].close()
                reason = str(error).strip()
        logger.warning("the worker could not sign off, others will find out: %s", reason)

    def beat(self) -> None:
        """Say that this worker lives; bury others that do not."""
        returned = gateway.fetch_value(
            self.using,
            gateway.WORKER_BEAT,
            self.worker,
            socket.gethostname(),
            os.getpid(),
            self.role,
            time.monotonic() - self._born,
            *self.figures(),
            self.settings.dead_after,
        )
        if returned:
            logger.warning("%d documents of a dead worker are due again", returned)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self.settings.heartbeat_seconds):
                try:
                    self.beat()
                    for receiver, failure in worker_beat.send_robust(type(self), using=self.using):
                        if isinstance(failure, Exception):
                            logger.warning("heartbeat: %s: %s", receiver, failure)
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("heartbeat: %s", str(error).strip())
                    connections[self.using].close()
        finally:
            connections.close_all()
