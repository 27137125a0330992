"""The transactions in which rows are read and written: what they may see, and what hooks may do in them."""

import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from psycopg.pq import TransactionStatus

from pgknowbase.core import gateway
from pgknowbase.errors import IsolationError


@contextmanager
def read_committed(using: str) -> Iterator[None]:
    """A transaction at READ COMMITTED, whatever the connection's default isolation level is.

    Code that locks an object and then reads its row must see what the previous holder of the lock committed. A snapshot
    that is older than the lock would let it overwrite newer text with older text.

    Raises:
        IsolationError: the caller has opened a transaction of another isolation level.
    """
    connection = connections[using]
    outermost = not connection.in_atomic_block and connection.get_autocommit()
    with transaction.atomic(using=using):
        if outermost:
            gateway.execute(using, "set_read_committed")
        elif (level := gateway.fetch_value(using, "isolation_level")) != "read committed":
            raise IsolationError(
                f"The open transaction on {using!r} is {level!r} and may read an old state of the rows: synchronise"
                " after it, such as from transaction.on_commit()."
            )
        yield


@contextmanager
def savepoint_if_open(using: str) -> Iterator[None]:
    """A savepoint where a transaction is open, as under ATOMIC_REQUESTS, so that what fails in it does not abort it.

    Nothing where none is: a search asks a provider, and no transaction should be open meanwhile.
    """
    if not connections[using].in_atomic_block:
        yield
        return
    with transaction.atomic(using=using):
        yield


@contextmanager
def as_backfill(using: str, backfill: bool = True) -> Iterator[None]:
    """Inside a transaction: with ``backfill``, the documents that it writes are embedded after all fresh ones."""
    if backfill:
        gateway.fetch(using, "set_backfill", value="on")
    yield
    if backfill:  # the setting is local to the transaction, which may be the caller's
        gateway.fetch(using, "set_backfill", value="off")


@contextmanager
def read_only(using: str) -> Iterator[None]:
    """A savepoint in which nothing can be written. Hooks run here, so that none can cause its own next rendering."""
    with transaction.atomic(using=using):
        gateway.fetch(using, "set_read_only")
        yield
        if not is_aborted(using) and _has_spoken(using):
            # Where the server has ended the transaction meanwhile, its error is still to be read. Rolling back would
            # hide it.
            gateway.execute(using, "probe")
        # Rolling back is the only way from read-only to read-write inside a transaction.
        transaction.set_rollback(True, using=using)


def _has_spoken(using: str) -> bool:
    """Whether the server has sent something unasked, as it does when it ends a session. Costs no round trip."""
    raw: Any = connections[using].connection
    if raw is None or raw.closed:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(raw.fileno(), selectors.EVENT_READ)
        return bool(selector.select(timeout=0))


def is_aborted(using: str) -> bool:
    """Whether a failed statement has aborted the open transaction, even if its error was caught."""
    connection = connections[using]
    raw: Any = connection.connection
    return connection.needs_rollback or (raw is not None and raw.info.transaction_status == TransactionStatus.INERROR)
