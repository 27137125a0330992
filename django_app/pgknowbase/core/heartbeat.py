"""The thread of a heartbeat."""

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connections

logger = logging.getLogger("pgknowbase.heartbeat")


class HeartbeatThread(threading.Thread):
    """Calls ``beat`` every ``interval`` seconds, until ``stop`` is called or ``beat`` returns False.

    It has database connections of its own and is a daemon, so it beats on while the other threads are busy in a call of
    minutes, and ends with the process. A beat that fails in the database is logged; the next one is due as always.

    Args:
        beat: one heartbeat; False ends the thread.
        interval: seconds between the end of one beat and the next.
    """

    def __init__(self, beat: Callable[[], bool | None], interval: float, *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._beat = beat
        self._interval = interval
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self._interval):
                try:
                    if self._beat() is False:
                        return
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("%s: %s", self.name, str(error).strip())
                    connections.close_all()
        finally:
            connections.close_all()

    def stop(self) -> None:
        """End the thread after its current beat, and wait for that."""
        self._stopped.set()
        self.join()
