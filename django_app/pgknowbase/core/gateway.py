"""The one module that touches cursors. It runs the statements of each ``queries.sql`` by their names."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from pgvector import HalfVector, Vector
from pgvector.psycopg.halfvec import HalfVectorBinaryDumper
from pgvector.psycopg.vector import VectorBinaryDumper
from psycopg import ClientCursor, Cursor, sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from pgknowbase.core.queries import find_query

Row = tuple[Any, ...]

# Of fetch_flags, by alias and query: parameters and statement.
_statements: dict[tuple[str, str], tuple[Any, bytes]] = {}


def fetch(using: str, query: str, /, **params: Any) -> list[Row]:
    """The rows of a query, run on Django's connection ``using``.

    Args:
        query: a name in a package's ``queries.sql``.
        params: exactly the parameters that the query names.

    Raises:
        LookupError: there is no query of this name.
        TypeError: a parameter is missing, or is not one of the query's.

    Example:
        >>> fetch("default", "outbox_ack", ids=[41, 42])
    """
    found = find_query(query)
    with connections[using].cursor() as cursor:
        cursor.execute(found.sql, found.positional(params))
        return list(cursor.fetchall())


def fetch_large(using: str, query: str, /, **params: Any) -> list[Row]:
    """As ``fetch``, for parameters of many bytes: they go beside the statement and not in it.

    Written into it, each of their characters is escaped here, and read again by the server's parser of SQL. Nothing is
    prepared, so that a pooler may give each transaction another connection.
    """
    connection = connections[using]
    if connection.queries_logged or connection.execute_wrappers:
        return fetch(using, query, **params)  # somebody wants to see what is run
    connection.ensure_connection()
    raw: Any = connection.connection
    found = find_query(query)
    with connection.wrap_database_errors, Cursor(raw) as cursor:
        cursor.execute(found.sql, found.positional(params), prepare=False)
        return list(cursor.fetchall())


def fetch_value(using: str, query: str, /, **params: Any) -> Any:
    """The first column of the first row of a query, or None where there is no row."""
    rows = fetch(using, query, **params)
    return rows[0][0] if rows else None


def fetch_flags(using: str, query: str, /, **params: Any) -> tuple[bool, ...]:
    """The first row of a query whose columns are booleans, for one that is asked many times a second with one answer.

    The statement is put together once for as long as its parameters stay the same, and sent by libpq itself: all that
    else stands between costs several times as much as such a query.
    """
    connection = connections[using]
    if connection.queries_logged or connection.execute_wrappers:
        return fetch(using, query, **params)[0]  # somebody wants to see what is run
    connection.ensure_connection()
    raw: Any = connection.connection
    found = find_query(query)
    given = found.positional(params)
    known = _statements.get((using, query))
    if known is None or known[0] != given:
        text = ClientCursor(raw).mogrify(found.sql, given)
        known = _statements[using, query] = given, text.encode(raw.info.encoding)
    with connection.wrap_database_errors:
        result = raw.pgconn.exec_(known[1])
        if result.status != ExecStatus.TUPLES_OK:
            if raw.closed:
                return fetch(using, query, **params)[0]  # fails again, with the error of a lost connection
            raise error_from_result(result, encoding=raw.info.encoding)
    return tuple(result.get_value(0, place) == b"t" for place in range(result.nfields))


def fetch_dicts(using: str, query: str, /, **params: Any) -> list[dict[str, Any]]:
    """The rows of a query as dicts by column name."""
    found = find_query(query)
    with connections[using].cursor() as cursor:
        cursor.execute(found.sql, found.positional(params))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def fetch_hits(using: str, query: str, /, *, row: str | None, **params: Any) -> list[Row]:
    """The hits of one of the searches.

    Args:
        row: a SELECT without parameters, compiled by Django, that gives the row of a hit ``h``. Its columns stand after
            those of the hit (nulls where the row is gone). None: the hits alone.
    """
    if row is None:
        return fetch(using, query, **params)
    search = find_query(query)
    # Both parts are trusted: one stands in a queries.sql, the other comes from Django's compiler.
    sql = find_query("hits_with_rows").sql.format(search=search.sql, row=row)
    with connections[using].cursor() as cursor:
        cursor.execute(sql, search.positional(params))
        return list(cursor.fetchall())


def fetch_among(using: str, query: str, /, *, rows: QuerySet[Any], **params: Any) -> Any:
    """The first column of the first row of a query that has ``{rows}`` before its parameters.

    Args:
        rows: selects one column. Django compiles it, so what it leaves out is left out in the same statement.

    Raises:
        EmptyResultSet: Django knows without the database that ``rows`` has none.
    """
    found = find_query(query)
    selected, before = rows.query.get_compiler(using).as_sql()
    with connections[using].cursor() as cursor:
        cursor.execute(found.sql.replace("{rows}", selected), (*before, *found.positional(params)))
        return cursor.fetchone()[0]


def execute(using: str, query: str, /) -> None:
    """Run a query that returns no rows."""
    with connections[using].cursor() as cursor:
        cursor.execute(find_query(query).sql)


def run_script(using: str, script: str) -> None:
    """Run the statements of a file of ``sql/`` that creates something; none of them has parameters."""
    with connections[using].cursor() as cursor:
        cursor.execute(script)


def drop_objects(using: str, kind: str, identities: Sequence[str]) -> None:
    """Drop functions, procedures or views in one statement, so that they may depend on each other.

    Args:
        kind: ``FUNCTION``, ``PROCEDURE`` or ``VIEW``.
        identities: as Postgres writes them: a function's with the types of its arguments.
    """
    listed = sql.SQL(", ").join(map(sql.SQL, identities))
    _command(using, sql.SQL("DROP {} {}").format(sql.SQL(kind), listed))


def pin_search_path(using: str, identity: str, path: str) -> None:
    """Give a function its search path; ``path`` as the query ``function_path`` quotes it."""
    _command(using, sql.SQL("ALTER FUNCTION {} SET search_path = {}").format(sql.SQL(identity), sql.SQL(path)))


def comment_object(using: str, kind: str, identity: str, comment: str) -> None:
    """Put a comment on a function or view; ``kind`` and ``identity`` as for ``drop_objects``."""
    statement = sql.SQL("COMMENT ON {} {} IS {}")
    _command(using, statement.format(sql.SQL(kind), sql.SQL(identity), sql.Literal(comment)))


def drop_trigger(using: str, name: str, table: str) -> None:
    """Drop a trigger; ``table`` as Postgres writes it."""
    _command(using, sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.SQL(table)))


def restore_trigger(using: str, name: str, table: str, definition: str, comment: str | None, enabled: str) -> None:
    """Create a trigger from its definition, with its comment and the state that pg_trigger.tgenabled had."""
    on = sql.SQL(table)
    _command(using, sql.SQL(definition))
    _command(using, sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(sql.Identifier(name), on, sql.Literal(comment)))
    if state := {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(enabled):
        _command(using, sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(on, sql.SQL(state), sql.Identifier(name)))


@lru_cache(maxsize=16)
def languages(using: str) -> frozenset[str]:
    """The text search configurations of the database; those that are new to it are seen by new processes."""
    return frozenset(fetch_value(using, "languages"))


def create_index(
    using: str,
    schema: str,
    table: str,
    name: str,
    column: str,
    *,
    source: int | None,
    m: int,
    ef_construction: int,
    concurrently: bool,
) -> None:
    """Build an HNSW index on ``column`` over the chunks of a store, or over those of one source, without copies.

    Args:
        column: what the query ``index_column`` gives.
    """
    statement = sql.SQL("CREATE INDEX {} {} ON {} USING hnsw ({}) WITH (m = {}, ef_construction = {}) WHERE {}").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(name),
        sql.Identifier(schema, table),
        sql.SQL(column),
        sql.Literal(m),
        sql.Literal(ef_construction),
        sql.SQL("NOT is_copy" if source is None else "NOT is_copy AND source = {}").format(sql.Literal(source)),
    )
    _command(using, statement)


def drop_index(using: str, schema: str, name: str) -> None:
    """Drop an index of a store while others use the table."""
    _command(using, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name)))


def rename_index(using: str, schema: str, name: str, to: str) -> None:
    """Give an index of a store another name."""
    _command(using, sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(schema, name), sql.Identifier(to)))


def wait_for_lsn(using: str, lsn: str, seconds: float) -> None:
    """Wait until this standby has replayed ``lsn``, for ``seconds`` at most. From Postgres 19 on."""
    timeout = sql.Literal(f"{max(1, round(seconds * 1000))}ms")
    _command(using, sql.SQL("WAIT FOR LSN {} WITH (TIMEOUT {}, NO_THROW)").format(sql.Literal(lsn), timeout))


def _command(using: str, statement: Any) -> None:
    connection = connections[using]
    connection.ensure_connection()
    raw: Any = connection.connection
    with connection.wrap_database_errors, raw.cursor() as cursor:
        cursor.execute(statement)


def copy_chunks(using: str, schema: str, table: str, storage: str, vector_oid: int, rows: Sequence[Row]) -> None:
    """Copy chunk rows (source, id, chunk_seq, chunk, embedding, tokens) into a store, in binary.

    ``storage``: the type of its vectors, of which ``vector_oid`` is the oid.
    """
    statement = sql.SQL("COPY {} (source, id, chunk_seq, chunk, embedding, tokens) FROM STDIN (FORMAT BINARY)")
    kind: type[Any] = HalfVector if storage == "halfvec" else Vector
    base = HalfVectorBinaryDumper if storage == "halfvec" else VectorBinaryDumper
    dumper = type("VectorDumper", (base,), {"oid": vector_oid})
    connection = connections[using]
    connection.ensure_connection()
    raw: Any = connection.connection
    with connection.wrap_database_errors, raw.cursor() as cursor:
        cursor.adapters.register_dumper(kind, dumper)
        with cursor.copy(statement.format(sql.Identifier(schema, table))) as copy:
            copy.set_types(["int4", "text", "int4", "text", vector_oid, "int4"])
            for source, key, seq, chunk, vector, tokens in rows:
                copy.write_row((source, key, seq, chunk, kind(vector), tokens))
