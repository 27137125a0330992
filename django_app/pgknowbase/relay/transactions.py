"""The transactions in which rows are read and written: what they may see, and what hooks may do in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from psycopg.pq import TransactionStatus

from pgknowbase import gateway
from pgknowbase.errors import PgKnowbaseError


class IsolationError(PgKnowbaseError):
    """The caller's transaction reads an old state of the rows."""


@contextmanager
def fresh_reads(using: str) -> Iterator[None]:
    """A transaction in which each statement sees what was committed before it, whatever the connection's default is.

    Whoever locks an object and then reads its row must see what the former holder of the lock saw.

    Raises:
        IsolationError: the caller has opened a transaction of another isolation level.
    """
    connection = connections[using]
    outermost = not connection.in_atomic_block and connection.get_autocommit()
    with transaction.atomic(using=using):
        if outermost:
            gateway.execute(using, gateway.READ_COMMITTED)
        elif (level := gateway.fetch_value(using, gateway.ISOLATION)) != "read committed":
            raise IsolationError(
                f"The open transaction on {using!r} is {level!r} and may read an old state of the rows: synchronise"
                " after it, such as from transaction.on_commit()."
            )
        yield


@contextmanager
def queued_last(using: str, backfill: bool) -> Iterator[None]:
    """Within a transaction: with ``backfill``, the documents that it writes are embedded after all fresh ones."""
    if backfill:
        gateway.fetch(using, gateway.BACKFILL, "on")
    yield
    if backfill:  # the caller may have a transaction around this one
        gateway.fetch(using, gateway.BACKFILL, "off")


@contextmanager
def only_reading(using: str) -> Iterator[None]:
    """A savepoint in which nothing can be written: hooks run here, so none can set off its own next rendering."""
    with transaction.atomic(using=using):
        gateway.fetch(using, gateway.READ_ONLY)
        yield
        transaction.set_rollback(True, using=using)


def spoiled(using: str) -> bool:
    """Whether a failed query keeps the open transaction from going on, even if its error was caught."""
    connection = connections[using]
    raw: Any = connection.connection
    return connection.needs_rollback or (raw is not None and raw.info.transaction_status == TransactionStatus.INERROR)
