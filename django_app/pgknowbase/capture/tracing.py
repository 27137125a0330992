"""The trace of a change on its way: from the span that made it to the relay, the vectorizer and the reactions.

With ``TELEMETRY["TRACE_CHANGES"]`` statements that write carry the current span in the setting
``pgknowbase.traceparent`` of their transaction, and the events of the triggers keep it, by the default of a column.
Each part of the worker links what it has taken: a batch has many causes, so none is its parent.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.queries import find_query
from pgknowbase.core.routing import is_same_database
from pgknowbase.core.telemetry import active_provider, current_traceparent
from pgknowbase.errors import ConfigurationError

WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE)\b", re.IGNORECASE)


def follow_settings(using: str, **kwargs: Any) -> None:
    """After migrate: let changes carry their traces, or none, as the settings say."""
    settings = get_settings()
    if is_same_database(using, settings.database) and gateway.fetch_value(using, "is_installed"):
        gateway.fetch(using, "trace_changes", enabled=settings.telemetry.trace_changes)


def wrap_statements(connection: Any, **kwargs: Any) -> None:
    """Let what a new connection writes carry the current span; a receiver of ``connection_created``."""
    try:
        settings = get_settings()
    except ConfigurationError:  # the system checks say so; a connection is needed by those who correct it, too
        return
    wanted = settings.telemetry.trace_changes and is_same_database(connection.alias, settings.database)
    if wanted and carry_trace not in connection.execute_wrappers:
        connection.execute_wrappers.append(carry_trace)


def carry_trace(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Execute a statement, one that writes with the current span in its transaction; called by Django."""
    traceparent = current_traceparent() if isinstance(sql, str) and WRITES.match(sql) else ""
    connection = context["connection"]
    raw, cursor = connection.connection, context["cursor"].cursor
    if not traceparent or raw.info.transaction_status == TransactionStatus.INERROR:
        return execute(sql, params, many, context)
    if not raw.autocommit or raw.info.transaction_status != TransactionStatus.IDLE:
        _set(raw, traceparent)
        return execute(sql, params, many, context)
    if not many and isinstance(cursor, ClientCursor):
        # One message of two statements, which the server runs in one transaction. A traceparent is hexadecimal. Not by
        # SET, because the mark of a reaction is not put before one: see reactions/chain.py.
        carried = f"SELECT set_config('pgknowbase.traceparent', '{traceparent}', true); {sql}"
        result = execute(carried, params, many, context)
        cursor.nextset()
        return result
    with connection.wrap_database_errors, raw.transaction():
        _set(raw, traceparent)
        return execute(sql, params, many, context)


def _set(raw: Any, traceparent: str) -> None:
    raw.execute(find_query("set_traceparent").sql, [traceparent])


# In the worker


def is_traced() -> bool:
    """Whether changes carry traces, and this process records spans that can be linked with them."""
    return get_settings().telemetry.trace_changes and active_provider() is not None


def traces_of_events(using: str, events: Sequence[int]) -> list[gateway.Row]:
    """Of outbox events those with a trace: (source, path, object keys, traceparent), the oldest first."""
    return gateway.fetch(using, "traces_of_events", ids=list(events)) if is_traced() else []


def keep_for_vectorizer(using: str, traces: Mapping[tuple[int, str], str]) -> None:
    """Keep the traces of objects that wait for their embeddings, by content type and object key."""
    if traces:
        sources, keys = zip(*traces, strict=True)
        gateway.fetch(
            using, "keep_traces", sources=list(sources), object_keys=list(keys), traceparents=list(traces.values())
        )


def take_for_vectorizer(using: str, documents: Iterable[tuple[int, str]]) -> list[str]:
    """The traces that were kept for these documents, which are forgotten."""
    keys = list(documents)
    if not keys or not is_traced():
        return []
    rows = gateway.fetch(using, "take_traces", sources=[key[0] for key in keys], object_keys=[key[1] for key in keys])
    return [row[0] for row in rows]


def traces_of_reaction_events(using: str, events: Sequence[int]) -> dict[int, str]:
    """Of changes for reactions those with a trace, by id."""
    return dict(gateway.fetch(using, "traces_of_reaction_events", ids=list(events))) if events and is_traced() else {}


def set_delivery_traces(using: str, traces: Sequence[tuple[str, str, str]]) -> None:
    """Hand traces to pending deliveries: (reaction, object key, traceparent) each."""
    if traces:
        reactions, keys, traceparents = (list(column) for column in zip(*traces, strict=True))
        gateway.fetch(using, "set_delivery_traces", reactions=reactions, object_keys=keys, traceparents=traceparents)


def trace_of_delivery(using: str, delivery: int) -> list[str]:
    """The trace of a delivery, if it has one."""
    rows = gateway.fetch(using, "trace_of_delivery", delivery=delivery) if is_traced() else []
    return [row[0] for row in rows]
