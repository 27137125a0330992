"""Changes of tables that are in use: they wait for locks for a moment only, and are tried again."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, transaction

from pgknowbase.core import gateway
from pgknowbase.errors import PgKnowbaseError, SpaceError

LOCK_TRIES = 20
# Less than deadlock_timeout, so that this side gives up first and the writers are not disturbed.
LOCK_TIMEOUT = "500ms"
BUSY = {"55P03", "40P01"}  # lock_not_available, deadlock_detected

Done = TypeVar("Done")


def with_short_locks(
    using: str,
    change: Callable[[], Done],
    *,
    tables: str = "The tables of the index",
    error: type[PgKnowbaseError] = SpaceError,
) -> Done:
    """Run ``change`` in a transaction that waits for locks for half a second at most, and try again if it must.

    A waiting ALTER TABLE blocks every later statement on the table, so a long transaction of somebody else would stop
    all writers until it ends.

    Args:
        tables: what the error names.

    Raises:
        PgKnowbaseError: of the type ``error``, where they are in use at each attempt.

    >>> with_short_locks("default", lambda: gateway.fetch("default", "space_drop", space=2))
    """
    for attempt in range(LOCK_TRIES):
        try:
            with transaction.atomic(using=using):
                gateway.fetch(using, "set_lock_timeout", timeout=LOCK_TIMEOUT)
                return change()
        except OperationalError as refused:
            if getattr(refused.__cause__, "sqlstate", None) not in BUSY:
                raise
            reason = refused
            time.sleep(min(0.05 * 2**attempt, 2.0))
    raise error(
        f"{tables} cannot be locked ({str(reason).splitlines()[0]}): end long transactions that use them, and try"
        " again."
    ) from reason
