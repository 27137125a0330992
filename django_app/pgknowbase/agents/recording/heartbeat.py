"""Which runs this process does: it says so while it lives, and stops those that somebody cancelled."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.recording.database import alias
from pgknowbase.conf import get_settings

logger = logging.getLogger("pgknowbase.agents")


class Heart:
    """Beats for all runs of the process from one thread with a connection of its own, as long as there are any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._cancels: dict[UUID, Callable[[], None] | None] = {}
        self._workflows: set[UUID] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def run(self, execution_id: UUID) -> Iterator[Callable[[Callable[[], None]], None]]:
        """Beat for a run while the block lasts; yields where to leave the function that cancels it."""
        with self._lock:
            self._cancels[execution_id] = None
            self._start()

        def leave(cancel: Callable[[], None]) -> None:
            with self._lock:
                self._cancels[execution_id] = cancel

        try:
            yield leave
        finally:
            with self._lock:
                self._cancels.pop(execution_id, None)

    @contextmanager
    def workflow(self, workflow_id: UUID) -> Iterator[None]:
        """Beat for a workflow while the block lasts."""
        with self._lock:
            self._workflows.add(workflow_id)
            self._start()
        try:
            yield
        finally:
            with self._lock:
                self._workflows.discard(workflow_id)

    def cancel(self, execution_id: UUID) -> bool:
        """Stop a run of this process now; False if it is not one."""
        with self._lock:
            cancel = self._cancels.get(execution_id)
        if cancel is None:
            return False
        cancel()
        return True

    def beat(self) -> None:
        """Say once which runs go on, and stop those that were cancelled elsewhere."""
        with self._lock:
            runs, workflows = list(self._cancels), list(self._workflows)
        using, now = alias(), timezone.now()
        mine = AgentExecution.objects.using(using).filter(pk__in=runs, status=Status.RUNNING)
        mine.update(heartbeat_at=now)
        for execution_id in mine.filter(cancel_requested=True).values_list("pk", flat=True):
            self.cancel(execution_id)
        if workflows:
            WorkflowExecution.objects.using(using).filter(pk__in=workflows).update(heartbeat_at=now)

    def _sweep(self) -> None:
        from pgknowbase.agents.background.sweeping import sweep_sometimes

        sweep_sometimes()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pgknowbase-agents-heart", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        ended = threading.Event()
        try:
            while not ended.wait(get_settings().agents.heartbeat_seconds):
                with self._lock:
                    if not self._cancels and not self._workflows:
                        self._thread = None
                        return
                try:
                    self.beat()
                    self._sweep()
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("heartbeat: %s", str(error).strip())
                finally:
                    connections.close_all()
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None


heart = Heart()
# Threads do not live on in a fork, and the runs are the parent's.
os.register_at_fork(after_in_child=heart.forget)
