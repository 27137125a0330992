"""The heartbeat of a worker: how workers know which of them are alive, and take over from those that are not."""

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Self
from uuid import UUID, uuid4

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.heartbeat import HeartbeatThread
from pgknowbase.models import WorkerHeartbeat
from pgknowbase.signals import worker_heartbeat

logger = logging.getLogger("pgknowbase.worker")

Figures = tuple[int, int, int]

# Five heartbeats fit into the timeout, so four may be lost or late before a living worker counts as dead.
HEARTBEATS_PER_TIMEOUT = 5


class Heartbeat:
    """One row of ``WorkerHeartbeat`` for as long as the block lasts, kept fresh by a thread of its own.

    Each beat also releases what workers that have been silent for ``WORKER["HEARTBEAT_TIMEOUT"]`` seconds had on lease.

    Args:
        using: the alias of the database.
        role: what the worker does.
        figures: returns events taken, documents embedded, and failures so far.

    >>> with Heartbeat("default", WorkerHeartbeat.Role.BOTH, lambda: (0, 0, 0)) as heartbeat:
    ...     Executor(worker=heartbeat.worker)
    """

    def __init__(self, using: str, role: WorkerHeartbeat.Role, figures: Callable[[], Figures]) -> None:
        self.worker: UUID = uuid4()
        self.using = using
        self.role = role
        self.figures = figures
        self._timeout = get_settings().worker.heartbeat_timeout
        self._started_at = time.monotonic()
        interval = self._timeout / HEARTBEATS_PER_TIMEOUT
        self._thread = HeartbeatThread(self._beat_and_signal, interval, name="pgknowbase-heartbeat")

    def __enter__(self) -> Self:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.stop()
        for _ in range(2):  # the connection may have been cut while nobody used it
            try:
                gateway.fetch(self.using, "worker_end", worker=self.worker)
                return
            except (DatabaseError, InterfaceError) as error:
                connections[self.using].close()
                reason = str(error).strip()
        logger.warning("the worker could not delete its heartbeat, others will when it times out: %s", reason)

    def beat(self) -> None:
        """Write the row, and release what dead workers had on lease."""
        events, documents, failed = self.figures()
        released = gateway.fetch_value(
            self.using,
            "worker_heartbeat",
            worker=self.worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            role=self.role,
            uptime=time.monotonic() - self._started_at,
            events=events,
            documents=documents,
            failed=failed,
            heartbeat_timeout=self._timeout,
        )
        if released:
            logger.warning("%d documents that a dead worker had on lease are due", released)

    def _beat_and_signal(self) -> None:
        self.beat()
        for receiver, failure in worker_heartbeat.send_robust(type(self), using=self.using):
            if isinstance(failure, Exception):
                logger.warning("heartbeat: %s: %s", receiver, failure)
