"""A time limit for the queries that run on behalf of a caller, so that no request can hold a core of the server.

The limit is local to a transaction, because a pooler such as pgbouncer may give each transaction another connection.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from pgknowbase.conf import get_settings
from pgknowbase.core.queries import find_query
from pgknowbase.errors import QueryTimeoutError

QUERY_CANCELED = "57014"
# A statement that is due now is sent with this, and the server cancels it.
LEAST_SECONDS = 0.001


@contextmanager
def time_limit(using: str, *, anonymous: bool = False) -> Iterator[None]:
    """Cancel the statement at which those of the block have taken longer than the limit, all together.

    A block inside another one takes its time from both. Nothing inside may rely on one transaction: where none is open,
    each statement gets one of its own.

    Args:
        using: the alias of the database.
        anonymous: nobody is signed in, so ``ANONYMOUS_QUERY_TIMEOUT`` holds where it is less than ``QUERY_TIMEOUT``.

    Raises:
        QueryTimeoutError: a statement was cancelled.
    """
    seconds, setting = _limit_of(anonymous)
    connection = connections[using]
    current = next((wrapper for wrapper in connection.execute_wrappers if isinstance(wrapper, _TimeLimit)), None)
    if seconds is None:
        yield
    elif current is None:
        with connection.execute_wrapper(_TimeLimit(seconds, setting)):
            yield
    else:
        with current.narrowed(seconds, setting):
            yield


def renew_limit(using: str) -> None:
    """Give the statements to come the whole limit again: they are another attempt at what has used it up."""
    current = next(
        (wrapper for wrapper in connections[using].execute_wrappers if isinstance(wrapper, _TimeLimit)), None
    )
    if current is not None:
        current.left = current.seconds


def _limit_of(anonymous: bool) -> tuple[float | None, str]:
    settings = get_settings()
    limits = [(settings.query_timeout, "QUERY_TIMEOUT")]
    if anonymous:
        limits.append((settings.anonymous_query_timeout, "ANONYMOUS_QUERY_TIMEOUT"))
    known = [(seconds, name) for seconds, name in limits if seconds is not None]
    return min(known) if known else (None, "")


class _TimeLimit:
    """Wraps the execution of each statement; Django calls it with the function that executes.

    Attributes:
        seconds: the limit.
        setting: its name.
        left: the seconds that are left of it.
    """

    def __init__(self, seconds: float, setting: str) -> None:
        self.seconds, self.setting, self.left = seconds, setting, seconds

    @contextmanager
    def narrowed(self, seconds: float, setting: str) -> Iterator[None]:
        """Leave the statements of the block less time, where this is less."""
        if seconds >= self.left:
            yield
            return
        outer = self.seconds, self.setting, self.left
        self.seconds, self.setting, self.left = seconds, setting, seconds
        try:
            yield
        finally:
            used = seconds - self.left
            self.seconds, self.setting, self.left = outer[0], outer[1], outer[2] - used

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        raw = context["connection"].connection
        if raw.info.transaction_status == TransactionStatus.INERROR:
            return execute(sql, params, many, context)  # the error that this raises is the caller's to see
        started, left = time.monotonic(), max(self.left, LEAST_SECONDS)
        try:
            return self._execute(execute, sql, params, many, context, f"{round(left * 1000)}ms")
        except OperationalError as error:
            cancelled = getattr(error.__cause__, "sqlstate", None) == QUERY_CANCELED
            if not cancelled or time.monotonic() - started < left:
                raise
            raise QueryTimeoutError(
                f"The query took longer than {self.seconds:g} s, the limit of PGKNOWBASE[{self.setting!r}]: ask for"
                " less, such as fewer words, conditions or results."
            ) from error
        finally:
            self.left -= time.monotonic() - started

    def _execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any, limit: str) -> Any:
        connection = context["connection"]
        raw, cursor = connection.connection, context["cursor"].cursor
        if raw.autocommit and raw.info.transaction_status == TransactionStatus.IDLE:
            if type(sql) is str and not many and isinstance(cursor, ClientCursor):
                # One message of two statements, which the server runs in one transaction and times each for itself.
                result = execute(f"SET LOCAL statement_timeout = '{limit}'; {sql}", params, many, context)
                cursor.nextset()
                return result
            with connection.wrap_database_errors, raw.transaction():
                _limit(raw, limit)
                return execute(sql, params, many, context)
        # The transaction is the caller's, whose own limit is put back. After an error it is aborted anyway.
        with connection.wrap_database_errors:
            before = _limit(raw, limit)
            result = execute(sql, params, many, context)
            _limit(raw, before)
        return result


def _limit(raw: Any, value: str) -> str:
    """Set the limit until the end of the transaction, and return the one before."""
    with raw.cursor() as cursor:
        row = cursor.execute(find_query("exchange_statement_timeout").sql, [value]).fetchone()
    return str(row[0])
