"""The replicas of a database: which of them can be asked, in turn, and what each has replayed."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, NamedTuple

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
    models,
    router,
)

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.server_limits import is_lost
from pgknowbase.replicas.tokens import lsn_number

logger = logging.getLogger("pgknowbase.replicas")

# Seconds for which a replica that answered is asked without another look at what it is, and for which one that did not
# answer is left alone.
TRUSTED = 5.0
LEFT_ALONE = 5.0
# The server is shutting down, has crashed, starts; or the query was in the way of what it replays.
LEAVING = frozenset({"57P01", "57P02", "57P03", "40001", "40P01"})
# What a migration has made on the primary, and a replica has not replayed yet.
UNDEFINED = frozenset({"42P01", "42703", "42883", "42704"})


class Position(NamedTuple):
    """What a server is and how far it is; see the query ``server_position``."""

    system: str
    standby: bool
    lsn: int | None
    timeline: int | None
    started_on: int


@dataclass
class _Server:
    trusted_until: float = 0.0
    left_alone_until: float = 0.0


_servers: dict[str, _Server] = {}
_systems: dict[str, str] = {}
_lock = Lock()
_turn = count()


def replicas_of(database: str) -> list[str]:
    """The aliases of its replicas."""
    return list(get_settings().replicas.get(database, ()))


def in_turn(database: str) -> Iterator[str]:
    """The replicas that can be asked now, beginning with the one whose turn it is. Each is looked at when it comes."""
    replicas = replicas_of(database)
    first = next(_turn) if replicas else 0
    for place in range(len(replicas)):
        alias = replicas[(first + place) % len(replicas)]
        if is_up(alias) and is_replica(alias, database):
            yield alias


def chosen_by_routers(model: type[models.Model], **hints: Any) -> str:
    """Where the project's routers send a search of this model's rows."""
    # A router need not know the hint where there are no replicas.
    searching = {"pgknowbase_search": True} if get_settings().replicas else {}
    return str(router.db_for_read(model, **searching, **hints))


def next_replica(database: str) -> str:
    """The replica whose turn it is, else the primary."""
    return next(in_turn(database), database)


def is_up(alias: str) -> bool:
    """Whether the server was not found unreachable within the last seconds."""
    return _server(alias).left_alone_until <= time.monotonic()


def is_replica(alias: str, database: str) -> bool:
    """Whether the server follows the primary ``database``, as far as the last seconds go.

    One that was promoted, or that follows another primary, would answer with rows of another history.
    """
    server = _server(alias)
    if server.trusted_until > time.monotonic():
        return True
    try:
        found = position(alias)
    except (DatabaseError, InterfaceError) as error:
        note_failure(alias, error)
        return False
    fault = None
    if not found.standby:
        fault = "is not a standby: it was promoted, or never was one"
    elif not _is_system_of(database, found.system):
        fault = f"follows another cluster than {database!r}"
    if fault:
        logger.error("The replica %r %s. Searches do not ask it: correct REPLICAS or the server.", alias, fault)
        _server(alias).left_alone_until = time.monotonic() + LEFT_ALONE
        return False
    server.trusted_until = time.monotonic() + TRUSTED
    return True


def _is_system_of(database: str, system: str) -> bool:
    """Whether this is the primary's cluster. It is asked once: replicas also answer while it does not."""
    if _systems.get(database) != system:
        try:
            _systems[database] = position(database).system
        except (DatabaseError, InterfaceError):
            return True
    return _systems[database] == system


def position(alias: str) -> Position:
    """What this server is and how far it is, by one statement."""
    ((system, standby, lsn, timeline, started_on),) = gateway.fetch(alias, "server_position")
    return Position(system, standby, None if lsn is None else lsn_number(lsn), timeline, started_on)


def note_failure(alias: str, error: BaseException) -> None:
    """Connect anew to this server before it is asked again; where it cannot be reached at all, in some seconds."""
    server, connection = _server(alias), connections[alias]
    server.trusted_until = 0.0
    if connection.connection is None:
        logger.warning("The server of %r does not answer, and is left alone for %g s: %s", alias, LEFT_ALONE, error)
        server.left_alone_until = time.monotonic() + LEFT_ALONE
    elif not connection.in_atomic_block:
        logger.warning("The server of %r has failed to answer: %s", alias, error)
        connection.close()


def can_ask_another(alias: str, error: BaseException) -> bool:
    """Whether ``error`` is of this server, so that another one may answer the same search."""
    state = getattr(error.__cause__, "sqlstate", None) or getattr(error, "sqlstate", None)
    if isinstance(error, ProgrammingError):
        return state in UNDEFINED
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    return state in LEAVING or connections[alias].connection is None or is_lost(alias)


def forget() -> None:
    """Look at every server anew: for tests, and after REPLICAS has changed."""
    with _lock:
        _servers.clear()
        _systems.clear()


def _server(alias: str | None) -> _Server:
    with _lock:
        return _servers.setdefault(alias or DEFAULT_DB_ALIAS, _Server())
