"""What is read while a server of the cluster does not answer: an error within seconds, or what the others answer."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from threading import Event, Lock, Thread
from typing import TypeVar

from django.db import DatabaseError, connections, transaction

from pgknowbase.conf import IfServerDown, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.database_errors import is_of_cluster, server_down
from pgknowbase.core.time_limit import renew_limit
from pgknowbase.errors import QueryTimeoutError, ServerDownError
from pgknowbase.search.queries import NO_ANSWER, translated_errors

Answer = TypeVar("Answer")

# Seconds of a search after which somebody looks whether all servers answer.
PATIENCE = 2.0
# A server that is down refuses a connection at once, so each search asks it again. One that hangs makes a search wait:
# it is left alone for so many seconds, and is asked whether it answers before the next search relies on it.
LEFT_ALONE = 5.0
CONNECTING = 2.0  # as pgknowbase_limit_connecting

_silent: dict[str, tuple[float, tuple[str, ...]]] = {}
_lock = Lock()


def answer(
    using: str, call: Callable[[], Answer], if_server_down: IfServerDown | None = None
) -> tuple[Answer, tuple[str, ...]]:
    """What ``call`` returns, which reads alone, and the servers of the cluster that it is without, as host:port.

    Args:
        if_server_down: what is done where a server does not answer; None: as the settings say.

    Raises:
        ServerDownError: one does not, and that is to be an error.
    """
    if (if_server_down or get_settings().search.if_server_down) == "error":
        return whole_answer(using, call), ()
    return partial_answer(using, call)


def whole_answer(
    using: str, call: Callable[[], Answer], *, so: str = NO_ANSWER, distributed: bool | None = None
) -> Answer:
    """What ``call`` returns, which reads from the servers of the cluster.

    Whatever reads texts or chunks for somebody who waits does it by this: searches, ``Document``, ``Chunk``, checks.

    Args:
        so: what there is not where one of them does not answer, for the error.
        distributed: whether ``call`` reads from them at all; None: as the settings say.

    Raises:
        ServerDownError: one of them does not answer. Where it hangs, an open transaction of the caller is lost.
    """
    watch: _Watch | None = None
    try:
        if not (_is_distributed() if distributed is None else distributed):
            return call()
        connections[using].ensure_connection()
        watch = _Watch(using)
        # In a transaction block alone Citus takes ef_search and the iterative scan to the shards.
        with watch, transaction.atomic(using=using):
            return call()
    except (DatabaseError, QueryTimeoutError) as error:
        if watch is not None and watch.silent:
            if not connections[using].in_atomic_block:
                connections[using].close()
            servers = ", ".join(watch.silent)
            advice = "restart them" + (", or search with if_server_down='partial'" if so == NO_ANSWER else "")
            raise ServerDownError(f"The servers {servers} of the cluster hang, so {so}: {advice}.") from error
        if is_of_cluster(error):
            raise server_down(error, using, so) from error
        raise


def _is_distributed() -> bool:
    settings = get_settings()
    return any(space.distributed for space in (settings.space, *settings.spaces.values()))


def partial_answer(using: str, call: Callable[[], Answer]) -> tuple[Answer, tuple[str, ...]]:
    """What ``call`` returns, and the servers that it is without, as host:port.

    Args:
        call: reads alone, and may run twice.

    Raises:
        ServerDownError: a server hangs, and the caller's transaction with it.
        QueryTimeoutError: it took too long, and all servers answer.
    """
    silent = _known_silent(using)
    if not silent:
        try:
            with transaction.atomic(using=using) if connections[using].in_atomic_block else nullcontext():
                return whole_answer(using, call), ()
        except ServerDownError:
            if connections[using].in_atomic_block and not connections[using].is_usable():
                raise
        except QueryTimeoutError:
            renew_limit(using)
            silent = silent_servers(using)  # maybe it was in vain that the search waited
            if not silent:
                raise
            _note_silent(using, silent)
    started = time.monotonic()
    renew_limit(using)
    with translated_errors(using), transaction.atomic(using=using):
        gateway.fetch(using, "answer_partially", servers=list(silent))
        found = call()
        missing = tuple(gateway.fetch_value(using, "missing_servers"))
    if missing != silent and time.monotonic() - started >= CONNECTING:
        _note_silent(using, missing)
    return found, missing


def silent_servers(using: str) -> tuple[str, ...]:
    """The servers of the cluster that hold shards and answer no new connection, as host:port."""
    return tuple(f"{host}:{port}" for host, port, answers in gateway.fetch(using, "cluster") if not answers)


class _Watch:
    """Cuts the connection of a search that waits for a server that hangs.

    Nothing else ends it: to cancel the query, the coordinator asks that server, and waits.

    Attributes:
        silent: the servers for whose sake it did.
    """

    def __init__(self, using: str) -> None:
        self.silent: tuple[str, ...] = ()
        self._using, self._done, self._cutting = using, Event(), Lock()
        self._socket = os.dup(connections[using].connection.fileno())  # the same wherever it is closed
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc_info: object) -> None:
        with self._cutting:
            self._done.set()

    def _watch(self) -> None:
        try:
            while not self._done.wait(PATIENCE):
                silent = silent_servers(self._using)
                with self._cutting:
                    if silent and not self._done.is_set():
                        self.silent = silent
                        with socket.socket(fileno=os.dup(self._socket)) as cut:
                            cut.shutdown(socket.SHUT_RDWR)
                        _note_silent(self._using, silent)
                        return
        finally:
            os.close(self._socket)
            connections.close_all()  # those of this thread


def _known_silent(using: str) -> tuple[str, ...]:
    until, servers = _silent.get(using, (0.0, ()))
    if servers and until <= time.monotonic():
        servers = silent_servers(using)
        _note_silent(using, servers)
    return servers


def _note_silent(using: str, servers: tuple[str, ...]) -> None:
    with _lock:
        _silent[using] = time.monotonic() + LEFT_ALONE, servers
