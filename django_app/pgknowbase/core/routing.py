"""Which database is asked, where the project's routers may send reads to a copy that lags behind.

What is indexed, compared or repaired must be read where it was written: a copy shows an older row, whose text would be
indexed as the newest. Django asks its routers for each related row too, whatever database the row itself came from.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections, models, router

from pgknowbase.conf import get_settings

_pinned: ContextVar[str | None] = ContextVar("pgknowbase_reads_from", default=None)
_installing = threading.Lock()


class PinnedReads:
    """A router that has an answer inside ``reads_from`` only. It stands before those of ``DATABASE_ROUTERS``."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """The pinned database, for models that are written there; the others live elsewhere, and are read there."""
        using = _pinned.get()
        if using is None:
            return None
        # A search that renders rows may read a replica.
        written = get_settings().primary_of(using) or using
        return using if is_same_database(router.db_for_write(model, **hints), written) else None


@contextmanager
def reads_from(using: str) -> Iterator[None]:
    """Read from ``using`` inside the block, also related rows, unless a query names its database.

    >>> with reads_from("default"):
    ...     article.author.name  # although the routers send reads to a copy
    """
    with _installing:
        # Found anew each time, because override_settings and tests replace the list.
        if not any(isinstance(each, PinnedReads) for each in router.routers):
            router.routers.insert(0, PinnedReads())
    token = _pinned.set(using)
    try:
        yield
    finally:
        _pinned.reset(token)


def writer_of(row: models.Model) -> str:
    """The database in which the committed state of ``row`` stands: where ``row.save()`` would write it.

    A row that was read from a copy is indexed from the database that the copy follows.
    """
    if row._state.db is None:
        return get_settings().database
    return str(router.db_for_write(type(row), instance=row))


def is_same_database(one: str, other: str) -> bool:
    """Whether two aliases lead to one database, such as with and without a pool."""
    if one == other:
        return True
    settings = [connections.settings.get(alias, {}) for alias in (one, other)]
    places = [tuple(str(each.get(key) or "") for key in ("NAME", "HOST", "PORT")) for each in settings]
    return places[0] == places[1] and bool(settings[0].get("NAME"))
