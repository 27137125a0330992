"""Waiting until an object's committed state is searchable."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, models

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.keys import object_key
from pgknowbase.core.routing import writer_of
from pgknowbase.errors import NotYetIndexedError
from pgknowbase.sources.registry import Source, source_of

# Seconds between two looks. The worker itself looks every 0.03 s, so a longer pause would only add to the wait.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.03


class PendingObject:
    """One object on its way into the index.

    Args:
        source: its source model.
        key: its object key.
        using: the alias of the database.
        rendered: whether its row was rendered just now, in this process, so that no event has to be waited for.
    """

    def __init__(self, source: Source, key: str, using: str, *, rendered: bool = False) -> None:
        self.source = source
        self.key = key
        self.using = using
        # Events of changes that were committed before the first look, which notes them; later ones are not waited for.
        self._events: list[int] | None = [] if rendered else None
        self._collect_again = False
        self._state: list[Any] = []
        self._reason = ""

    @classmethod
    def of_row(cls, row: Any) -> "PendingObject":
        """The object of a row of a source model.

        Raises:
            NotYetIndexedError: the row has no primary key, so it is in no table.
        """
        source = source_of(type(row))
        if row.pk is None:
            raise NotYetIndexedError(f"A {source.label} without a primary key is in no table: save it first.")
        return cls(source, object_key(source.model, row.pk), writer_of(row))

    @property
    def in_index(self) -> bool:
        """Whether the last look found the object in the index; False where its hooks keep it out."""
        return self._state[0] is not None

    def is_done(self) -> bool:
        """Whether what was committed before the first call is in the index, or out of it as its hooks say.

        Raises:
            NotYetIndexedError: the object is a dead letter, or the change is in a transaction that is still open.
        """
        done = self._events_done() and self._is_searchable()
        if not done and not connections[self.using].get_autocommit():
            raise self._error(
                f"is not searchable ({self._reason}), and will not be before the open transaction on {self.using!r}"
                " ends: wait after it, such as in transaction.on_commit()."
            )
        return done

    def timed_out(self, timeout: float) -> NotYetIndexedError:
        """The error after ``timeout`` seconds."""
        return self._error(f"is not searchable after {timeout:g} s: {self._reason}.")

    def _error(self, said: str) -> NotYetIndexedError:
        return NotYetIndexedError(f"{self.source.label} {self.key!r} {said}")

    def _events_done(self) -> bool:
        events, indirect, *self._state = self._look()
        if self._events is None:
            # The first look. Indirect events may turn into expansions, whose ids it cannot know.
            self._collect_again = bool(indirect)
        elif self._collect_again and not events:
            # Events of a whole table or of related rows are gone, and may have become expansions of this object.
            self._collect_again, self._events = False, None
            events, _, *self._state = self._look()
        self._events = events or []
        self._reason = f"its change waits in the outbox: {self._start_worker()}"
        return not events

    def _look(self) -> gateway.Row:
        source_id = self.source.content_type_id(self.using)
        (row,) = gateway.fetch(
            self.using,
            "object_state",
            source=source_id,
            label=self.source.label,
            object_key=self.key,
            known=self._events,
        )
        return row

    def _start_worker(self) -> str:
        return f"start {command_line('pgknowbase_worker', self.using)!r} if none runs, or wait longer"

    def _is_searchable(self) -> bool:
        status, error, retry_at = self._state
        if status == "failed" and retry_at is None:
            raise self._error(
                f"is a dead letter ({error}): correct the cause and run"
                f" {command_line(f'pgknowbase_dead_letters {self.source.label} --retry', self.using)!r}."
            )
        if status == "failed":
            self._reason = f"its rendering failed ({error}) and is retried at {retry_at:%H:%M:%S}: correct the hook"
        elif status == "processing":
            self._reason = "a worker is embedding it: wait longer"
        elif status == "pending":
            self._reason = f"its text waits to be embedded{f' ({error})' if error else ''}: {self._start_worker()}"
        return status in {None, "completed"}


def wait_indexed(row: models.Model, *, timeout: float = 30.0) -> bool:
    """Wait until the committed state of ``row``, as of this call, is searchable.

    Args:
        timeout: seconds.

    Returns:
        False where the row's hooks keep it out of the index.

    Raises:
        NotYetIndexedError: ``timeout`` seconds have passed, the object is a dead letter, or a transaction is open.

    >>> article = Article.objects.create(title="Triggers")
    >>> wait_indexed(article)
    True
    """
    pending = PendingObject.of_row(row)
    wait_until_searchable(pending, timeout=timeout)
    return pending.in_index


async def await_indexed(row: models.Model, *, timeout: float = 30.0) -> bool:
    """Async twin of ``wait_indexed``."""
    pending = await sync_to_async(PendingObject.of_row)(row)
    for pause in _pauses(timeout):
        if await sync_to_async(pending.is_done)():
            return pending.in_index
        await asyncio.sleep(pause)
    raise pending.timed_out(timeout)


def wait_until_searchable(
    pending: PendingObject, *, timeout: float, before_look: Callable[[], object] = lambda: None
) -> None:
    """Return when ``pending`` is done; ``before_look`` is called before each look.

    Raises:
        NotYetIndexedError: see ``wait_indexed``.
    """
    for pause in _pauses(timeout):
        before_look()
        if pending.is_done():
            return
        time.sleep(pause)
    raise pending.timed_out(timeout)


def _pauses(timeout: float) -> Iterator[float]:
    """Growing pauses between two looks, the last look at the end of ``timeout`` seconds."""
    end = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while (remaining := end - time.monotonic()) > 0:
        yield min(pause, remaining)
        pause = min(2 * pause, LONGEST_PAUSE)
    yield 0.0
