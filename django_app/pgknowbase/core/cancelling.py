"""Cancelling the queries of a call in another thread, when nobody waits for its result any more."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from django.db import connections
from django.db.utils import OperationalError

CANCEL_TIMEOUT = 5.0  # seconds to reach the server


_running: "ContextVar[CancellableQueries | None]" = ContextVar("pgknowbase_cancellable", default=None)


@contextmanager
def told_of_cancelling(tell: Callable[[], object]) -> Iterator[None]:
    """Call ``tell`` when the call that this thread makes is cancelled inside the block, where it can be.

    Raises:
        OperationalError: at the end of the block, or at once, because it was.
    """
    call = _running.get()
    if call is None:
        yield
        return
    call.add_listener(tell)
    try:
        yield
    finally:
        call.remove_listener(tell)
    call.check()


class CancellableQueries:
    """The queries of one call on these databases, in the thread that makes it, which another thread can cancel.

    >>> queries = CancellableQueries("default")
    >>> with queries.running():  # in the thread of the call
    ...     search(...)
    >>> queries.cancel()  # in another thread
    """

    def __init__(self, *using: str) -> None:
        self._using = using
        self._lock = Lock()
        self._connections: list[Any] = []
        self._listeners: list[Callable[[], object]] = []
        self._cancelled = False

    def check(self) -> None:
        """Stop what nobody waits for.

        Raises:
            OperationalError: it was cancelled.
        """
        if self._cancelled:
            raise OperationalError("Nobody waits for the result of this query any more.")

    def add_listener(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` on ``cancel``.

        Raises:
            OperationalError: it was cancelled already.
        """
        with self._lock:
            self.check()
            self._listeners.append(tell)

    def remove_listener(self, tell: Callable[[], object]) -> None:
        """Do not."""
        with self._lock:
            self._listeners.remove(tell)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Queries inside the block can be cancelled. Those that would follow are refused.

        Raises:
            OperationalError: a query was cancelled.
        """
        with ExitStack() as wrappers:
            asked = [connections[alias] for alias in self._using]
            for connection in asked:
                wrappers.enter_context(connection.execute_wrapper(self._execute))
            self._connections = asked
            token = _running.set(self)
            try:
                yield
            finally:
                _running.reset(token)
                # The next query on these connections is somebody else's.
                with self._lock:
                    self._connections = []

    def cancel(self) -> None:
        """Cancel the query that runs, and all that would follow it."""
        with self._lock:
            self._cancelled = True
            for tell in self._listeners:
                tell()
            for connection in self._connections:
                raw = connection.connection
                if raw is not None and not raw.closed:
                    raw.cancel_safe(timeout=CANCEL_TIMEOUT)

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.check()
        return execute(sql, params, many, context)
