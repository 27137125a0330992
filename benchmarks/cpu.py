"""CPU seconds of processes: on a busy machine they tell more than the clock."""

import os
import sys
import time
from typing import Any

import psutil
import psycopg

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Meter:
    """Adds up what a server with all its backends, living and gone, and some other processes have used.

    ``local`` is false, and the sum misses the server, where it runs on another machine.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._postmaster = _postmaster(connection)
        self.local = self._postmaster is not None

    def seconds(self, pids: list[int]) -> float:
        """CPU seconds so far."""
        total = sum(own(psutil.Process(pid)) for pid in pids)
        if self._postmaster is None:
            return total
        times = self._postmaster.cpu_times()
        gone = times.children_user + times.children_system
        return total + own(self._postmaster) + gone + sum(map(own, self._postmaster.children()))

    def since(self, before: float, pids: list[int]) -> float:
        """CPU seconds after ``before``, which ``seconds()`` gave; at least the one tick in which the kernel counts."""
        return max(self.seconds(pids) - before, TICK)


def own(process: psutil.Process) -> float:
    """CPU seconds of a process, without its children; 0 where it is gone."""
    if sys.platform == "linux":
        # psutil reads ticks of 10 ms. This clock, whose number clock_getcpuclockid(3) makes, counts nanoseconds.
        try:
            return time.clock_gettime((~process.pid << 3) | 2)
        except OSError:
            return 0.0
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _postmaster(connection: psycopg.Connection[Any]) -> psutil.Process | None:
    try:
        found = psutil.Process(connection.info.backend_pid).parent()
    except psutil.NoSuchProcess:
        return None
    return found if found is not None and found.name().startswith("postgres") else None
