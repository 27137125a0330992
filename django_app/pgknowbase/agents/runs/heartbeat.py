"""The heartbeat of this process's runs: it shows that they live, and stops those that were cancelled."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connections
from django.dispatch import Signal
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.runs.database import alias
from pgknowbase.core.heartbeat import HeartbeatThread

# Seconds. A beat costs one UPDATE for all runs of the process, so it can be frequent: cancelling from another process
# takes effect at the next beat. The timeout spans many beats, because a process that is only slow (a database that
# fails over, a suspended machine) must not have its runs failed or repeated by others.
HEARTBEAT_INTERVAL = 5.0
HEARTBEAT_TIMEOUT = 60.0

beat_sent = Signal()
"""Sent after each beat, in the heartbeat's thread. Work for any live process, such as the sweep, connects here."""


def stale_before() -> datetime:
    """The time before which the last heartbeat of a live process cannot lie."""
    return timezone.now() - timedelta(seconds=HEARTBEAT_TIMEOUT)


class RunHeartbeat:
    """Beats for all runs and workflows of the process, from one thread with a connection of its own.

    The thread starts with the first run and ends after the last one.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all runs, as a forked child must: the runs, and the thread, are the parent's."""
        self._cancels: dict[UUID, Callable[[], None] | None] = {}
        self._workflows: set[UUID] = set()
        self._lock = threading.Lock()
        self._thread: HeartbeatThread | None = None

    @contextmanager
    def run(self, execution_id: UUID) -> Iterator[Callable[[Callable[[], None]], None]]:
        """Beat for a run while the block lasts. Yields the function that registers how the run is cancelled."""
        with self._lock:
            self._cancels[execution_id] = None
            self._ensure_thread()

        def register_cancel(cancel: Callable[[], None]) -> None:
            with self._lock:
                self._cancels[execution_id] = cancel

        try:
            yield register_cancel
        finally:
            with self._lock:
                self._cancels.pop(execution_id, None)

    @contextmanager
    def workflow(self, workflow_id: UUID) -> Iterator[None]:
        """Beat for a workflow while the block lasts."""
        with self._lock:
            self._workflows.add(workflow_id)
            self._ensure_thread()
        try:
            yield
        finally:
            with self._lock:
                self._workflows.discard(workflow_id)

    def cancel(self, execution_id: UUID) -> bool:
        """Stop a run of this process now; False if this process does not do it."""
        with self._lock:
            cancel = self._cancels.get(execution_id)
        if cancel is None:
            return False
        cancel()
        return True

    def beat(self) -> None:
        """Renew the heartbeat of every run and workflow once, and stop the runs that were cancelled elsewhere."""
        with self._lock:
            runs, workflows = list(self._cancels), list(self._workflows)
        using, now = alias(), timezone.now()
        # Only while RUNNING: a run that a sweep took away must not look alive again.
        own = AgentExecution.objects.using(using).filter(pk__in=runs, status=Status.RUNNING)
        own.update(heartbeat_at=now)
        for execution_id in own.filter(cancel_requested=True).values_list("pk", flat=True):
            self.cancel(execution_id)
        if workflows:
            WorkflowExecution.objects.using(using).filter(pk__in=workflows).update(heartbeat_at=now)

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = HeartbeatThread(self._beat_or_end, HEARTBEAT_INTERVAL, name="pgknowbase-agents-heartbeat")
            self._thread.start()

    def _beat_or_end(self) -> bool:
        """Beat once; False ends the thread, because there is nothing to beat for."""
        with self._lock:
            if not self._cancels and not self._workflows:
                # Under the lock: a run that starts now finds no thread, and starts one.
                self._thread = None
                return False
        try:
            self.beat()
            beat_sent.send(RunHeartbeat)
        finally:
            connections.close_all()  # not kept open over the interval
        return True


heartbeat = RunHeartbeat()
os.register_at_fork(after_in_child=heartbeat.reset)
