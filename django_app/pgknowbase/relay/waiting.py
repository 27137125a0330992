"""Waiting until an object's committed state is searchable."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, models

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import NotYetIndexedError
from pgknowbase.keys import object_key
from pgknowbase.registry import Source, source_of

FIRST_PAUSE = 0.02
WORKER = "start 'manage.py pgknowbase_worker' if none runs, or wait longer"


class Awaited:
    """One object on its way into the index. ``events=False``: its row was rendered just now, in this process."""

    def __init__(self, source: Source, key: str, using: str, *, events: bool = True) -> None:
        self.source = source
        self.key = key
        self.using = using
        self.events: list[int] | None = None if events else []
        self.recollect = False
        self.state: list[Any] = []
        self.reason = ""

    def done(self) -> bool:
        """Whether what was committed before the first call is in the index, or out of it as its hooks say.

        Raises:
            NotYetIndexedError: the object is a dead letter, or a transaction is open that no worker can see into.
        """
        finished = self._events_done() and self._searchable()
        if not finished and not connections[self.using].get_autocommit():
            raise self.error(
                f"is not searchable ({self.reason}), and will not be before the open transaction on {self.using!r}"
                " ends: wait after it, such as in transaction.on_commit()."
            )
        return finished

    def error(self, said: str) -> NotYetIndexedError:
        """The error about this object that says ``said``."""
        return NotYetIndexedError(f"{self.source.label} {self.key!r} {said}")

    def late(self, timeout: float) -> NotYetIndexedError:
        """The error after ``timeout`` seconds."""
        return self.error(f"is not searchable after {timeout:g} s: {self.reason}.")

    def _look(self) -> gateway.Row:
        source_id = self.source.content_type_id(self.using)
        (row,) = gateway.fetch(self.using, gateway.AWAITED, source_id, self.source.label, self.key, self.events)
        return row

    def _events_done(self) -> bool:
        events, indirect, *self.state = self._look()
        if self.events is None:
            self.recollect = bool(indirect)
        elif self.recollect and not events:
            # Events of a whole table or of related rows are gone, and may have left events of this object behind.
            self.recollect, self.events = False, None
            events, _, *self.state = self._look()
        self.events = events or []
        self.reason = f"its change waits in the outbox: {WORKER}"
        return not events

    def _searchable(self) -> bool:
        status, error, retry_at = self.state
        if status == "failed" and retry_at is None:
            raise self.error(
                f"is a dead letter ({error}): mend the cause and run 'manage.py pgknowbase_failed"
                f" {self.source.label} --retry'."
            )
        if status == "failed":
            self.reason = f"its rendering failed ({error}) and is tried again at {retry_at:%H:%M:%S}: mend the hook"
        elif status == "processing":
            self.reason = "a worker is embedding it: wait longer"
        elif status == "pending":
            self.reason = f"its text waits to be embedded{f' ({error})' if error else ''}: {WORKER}"
        return status in {None, "completed"}


def wait_indexed(row: models.Model, *, timeout: float = 30.0) -> bool:
    """Wait until the committed state of ``row``, as of this call, is searchable; False: its hooks keep it out.

    Raises:
        NotYetIndexedError: ``timeout`` seconds went by, the object is a dead letter, or a transaction is open.
    """
    awaited = _awaited(row)
    wait(awaited, timeout=timeout)
    return awaited.state[0] is not None


async def await_indexed(row: models.Model, *, timeout: float = 30.0) -> bool:
    """Async twin of ``wait_indexed``."""
    awaited = await sync_to_async(_awaited)(row)
    for pause in _pauses(timeout):
        if await sync_to_async(awaited.done)():
            return awaited.state[0] is not None
        await asyncio.sleep(pause)
    raise awaited.late(timeout)


def wait(awaited: Awaited, *, timeout: float, step: Callable[[], object] = lambda: None) -> None:
    """Wait until the object is done, calling ``step`` before each look.

    Raises:
        NotYetIndexedError: see ``wait_indexed``.
    """
    for pause in _pauses(timeout):
        step()
        if awaited.done():
            return
        time.sleep(pause)
    raise awaited.late(timeout)


def _pauses(timeout: float) -> Iterator[float]:
    """Growing pauses between two looks, the last look at the end of ``timeout`` seconds."""
    end = time.monotonic() + timeout
    pause, longest = FIRST_PAUSE, get_settings().worker.poll_interval
    while (left := end - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(2 * pause, longest)
    yield 0.0


def _awaited(row: Any) -> Awaited:
    source = source_of(type(row))
    key = object_key(row.pk)
    if row.pk is None:
        raise NotYetIndexedError(f"A {source.label} without a primary key is in no table: save it first.")
    return Awaited(source, key, row._state.db or get_settings().database)
