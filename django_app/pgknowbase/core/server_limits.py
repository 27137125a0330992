"""The time limits of Postgres, which a role or a database may set for every session, and work that exceeds them.

A batch that takes too long is done in smaller portions, until one item is left that alone takes too long. Only that
item fails, with an error that names the limit.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.core import gateway

Item = TypeVar("Item")
Result = TypeVar("Result")

LIMITS = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57014": "statement_timeout",
    "55P03": "lock_timeout",
}


def exceeded_limit(error: BaseException | None) -> str | None:
    """The setting of Postgres that ended what raised ``error``, or None.

    >>> try:
    ...     Note.objects.count()
    ... except DatabaseError as error:
    ...     exceeded_limit(error)
    'statement_timeout'
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if name := LIMITS.get(str(getattr(error, "sqlstate", None))):
            return name
        error = error.__cause__ or error.__context__
    return None


def is_lost(using: str) -> bool:
    """Whether the server has closed the connection, as it does where a transaction exceeds a limit."""
    raw: Any = connections[using].connection
    return raw is not None and bool(raw.closed)


def can_go_smaller(error: BaseException, using: str) -> bool:
    """Whether the work that raised ``error`` exceeded a limit, and can be done again in portions on this connection."""
    if exceeded_limit(error) is None:
        return False
    connection = connections[using]
    if not is_lost(using):
        return not connection.needs_rollback
    if connection.in_atomic_block:
        return False  # the caller's transaction is gone
    connection.close()
    return True


def describe_limit(error: BaseException, using: str, *, advice: str) -> str:
    """What exceeded which limit, and what to do: for one item that fails by itself."""
    name = str(exceeded_limit(error))
    value = gateway.fetch_value(using, "setting", name=name)
    return f"It alone takes longer than {name} = {value} allows: {advice}, or raise {name} for this role."


def in_portions(
    work: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    using: str,
    *,
    refuse: Callable[[Item, BaseException], Result],
) -> list[Result]:
    """What ``work`` returns for ``items``: at once or, where that exceeds a limit, for halves of them and so on.

    Args:
        work: runs in a transaction of its own.
        refuse: called for an item that alone exceeds a limit, with the error.
    """
    try:
        return [work(items)]
    except (DatabaseError, InterfaceError) as error:
        if not items or not can_go_smaller(error, using):
            raise
        if len(items) == 1:
            return [refuse(items[0], error)]
    middle = len(items) // 2
    return [
        result for half in (items[:middle], items[middle:]) for result in in_portions(work, half, using, refuse=refuse)
    ]


class PortionSize:
    """How many items the next batch may have: full batches, halves after one that exceeded a limit, and slowly more.

    Args:
        full: items of a full batch.

    >>> size = PortionSize(500)
    >>> size.exceeded()
    >>> size.value
    250
    """

    # A batch that fails costs as long as the limit; four that succeed say that a larger one may.
    SUCCESSES = 4

    def __init__(self, full: int) -> None:
        self.full = self.value = full
        self.is_full = True
        self._successes = 0

    def exceeded(self) -> None:
        """Take note of a batch that took too long."""
        self.value, self._successes, self.is_full = max(1, self.value // 2), 0, False

    def succeeded(self) -> None:
        """Take note of a batch that was done."""
        self._successes += 1
        if self._successes >= self.SUCCESSES:
            # A full batch is tried again only after as many successes of the largest one below it.
            self.is_full = self.value == self.full
            self.value, self._successes = min(self.full, 2 * self.value), 0
