"""The chain of reactions that led to a change, so that none runs for what it wrote itself.

While a reaction runs, each transaction of each of Django's connections that its code uses carries the chain in the
setting ``pgknowbase.reaction``, local to the transaction as pgbouncer needs it; the triggers copy it into their events.
The code is known by a context variable: the thread itself, its coroutines, and what ``sync_to_async`` calls.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

from pgknowbase.core import gateway
from pgknowbase.core.queries import find_query

Chain = tuple[tuple[str, str], ...]

_chain: ContextVar[str] = ContextVar("pgknowbase_reaction", default="")
# These statements cannot run inside a transaction, or begin and end one; none of them writes rows.
UNMARKED = re.compile(
    r"\s*(VACUUM|CREATE|DROP|ALTER|REINDEX|CLUSTER|SET|RESET|SHOW|BEGIN|START|COMMIT|END|ROLLBACK|ABORT|LISTEN|UNLISTEN"
    r"|NOTIFY|DISCARD|CHECKPOINT|DEALLOCATE)\b",
    re.IGNORECASE,
)
# The isolation level of a transaction is set before anything else.
FIRST = re.compile(r"\s*SET\b", re.IGNORECASE)


def parse_chain(text: str) -> Chain:
    """The chain that an event carries; () if other code has given the setting another value."""
    try:
        return tuple((str(name), str(key)) for name, key in json.loads(text)) if text else ()
    except (ValueError, TypeError):
        return ()


def format_chain(chain: Chain) -> str:
    """``chain`` as events carry it."""
    return json.dumps(chain, ensure_ascii=False) if chain else ""


@contextmanager
def marked(chain: Chain, using: str) -> Iterator[None]:
    """Whatever this context writes carries ``chain``."""
    connection_created.connect(_mark_cursors, dispatch_uid="pgknowbase.reactions")
    for connection in connections.all(initialized_only=True):
        _mark_cursors(connection)
    inside = connections[using].in_atomic_block  # a test's transaction, which started without the chain
    if inside:
        gateway.fetch(using, "set_reaction_chain", chain=format_chain(chain))
    token = _chain.set(format_chain(chain))
    try:
        yield
    finally:
        _chain.reset(token)
        if inside and not connections[using].needs_rollback:
            gateway.fetch(using, "set_reaction_chain", chain="")


def _mark_cursors(connection: Any, **kwargs: Any) -> None:
    raw = connection.connection
    if connection.vendor == "postgresql" and raw is not None and not issubclass(raw.cursor_factory, _MarkingCursor):
        raw.cursor_factory = type("MarkingCursor", (_MarkingCursor, raw.cursor_factory), {})


class _MarkingCursor:
    """A psycopg cursor whose transactions begin with the mark. Below Django's wrappers, so that COPY passes too."""

    connection: Any

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        run: Any = super()
        with self._transaction(query):
            return run.execute(query, *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        run: Any = super()
        with self._transaction(query):
            return run.executemany(query, *args, **kwargs)

    @contextmanager
    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        run: Any = super()
        with self._transaction(statement), run.copy(statement, *args, **kwargs) as copy:
            yield copy

    @contextmanager
    def _transaction(self, query: Any) -> Iterator[None]:
        chain, raw = _chain.get(), self.connection
        if not chain or raw.info.transaction_status != TransactionStatus.IDLE:
            yield
        elif raw.autocommit:
            with nullcontext() if _matches(UNMARKED, query, raw) else raw.transaction():
                if raw.info.transaction_status != TransactionStatus.IDLE:
                    self._mark(chain)
                yield
        elif _matches(FIRST, query, raw):
            yield
            raw.execute(find_query("set_reaction_chain").sql, [chain])
        else:
            self._mark(chain)
            yield

    def _mark(self, chain: str) -> None:
        run: Any = super()
        run.execute(find_query("set_reaction_chain").sql, [chain])


def _matches(pattern: re.Pattern[str], query: Any, raw: Any) -> bool:
    text = query.as_string(raw) if hasattr(query, "as_string") else query
    return pattern.match(text.decode() if isinstance(text, bytes) else text) is not None
