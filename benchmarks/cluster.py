"""The same searches in one table and in a store that is distributed: latency, recall, and rows a second.

``CITUS_URL``, and ``DATABASE_URL`` with it, name a coordinator, whose other servers get a database of the same name.
A run takes an hour, so each line is printed as soon as it is known.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.database import Database
from benchmarks.report import Figure, figure, line
from benchmarks.stats import percentile

SIZES = (300_000,)
QUERIES, EXACT = 100, 30
SHARDS = 12
WRITTEN = 5_000
DENSE = "pgknowbase_search_dense_v1(%(vector)s, 10"
KINDS = {
    "by meaning": f"{DENSE})",
    "one source": f"{DENSE}, pgknowbase_filter_v1(sources => %(big)s))",
    "filter passing 10 %%": f"""{DENSE}, pgknowbase_filter_v1(metadata => '{{"p10": true}}'))""",
    "filter passing 0.1 %%": f"""{DENSE}, pgknowbase_filter_v1(metadata => '{{"p01": true}}'))""",
    "by words": "pgknowbase_search_keyword_v1(%(words)s, 10)",
    "by both": "pgknowbase_search_hybrid_v1(%(words)s, %(vector)s, 10)",
}

# What goes to the servers after the store: its tables on the coordinator, and its functions.
WORDS = ("words", ("pgknowbase_keywords", "pgknowbase_postings", "pgknowbase_rare_postings"), "pgknowbase_keywords")
TEXTS = ("texts", ("pgknowbase_document",), "pgknowbase_documents")


def run(database: Database, *, quick: bool, sizes: Sequence[int] = ()) -> list[Figure]:
    if not os.environ.get("CITUS_URL") or os.environ.get("DATABASE_URL") != os.environ["CITUS_URL"]:
        print("cluster: left out, since CITUS_URL and DATABASE_URL do not name a coordinator")
        return []
    figures: list[Figure] = []
    for chunks in sizes or ((3_000,) if quick else SIZES):
        variables = {"chunks": chunks, "queries": 20 if quick else QUERIES, "memory": "1GB"}
        database.psql("vectors_data.sql", variables)
        with database.connect() as connection, _cluster(connection) as servers:
            truth = {kind: _answers(connection, kind, exactly=True) for kind in KINDS}
            figures += _measured(connection, chunks, "1 server", truth)
            figures.append(_distributed(connection, chunks))
            figures += _measured(connection, chunks, f"{servers} servers", truth)
            by_words = {kind: truth[kind] for kind in ("by words", "by both")}
            for part, kinds in ((WORDS, by_words), (TEXTS, truth)):
                figures.append(_part_distributed(connection, chunks, *part))
                figures += _searched(connection, chunks, f"{servers} servers, {part[0]} too", kinds)
            connection.execute("SELECT pgknowbase_documents_distribute_v1(false)")
            connection.execute("SELECT pgknowbase_keywords_distribute_v1(false)")
            connection.execute("SELECT pgknowbase_space_distribute_v1(id, false) FROM pgknowbase_space")
        database.psql("vectors_clean.sql")
    return figures


@contextmanager
def _cluster(connection: psycopg.Connection[Any]) -> Iterator[int]:
    """The cluster of CITUS_URL for the database of the connection; how many servers hold shards."""
    name = connection.info.dbname
    with psycopg.connect(os.environ["CITUS_URL"]) as coordinator:
        nodes = coordinator.execute(
            "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
        ).fetchall()
    given = conninfo_to_dict(os.environ["CITUS_URL"])
    others = [{**given, "host": host, "port": port} for host, port, first in nodes if not first]
    for other in others:
        with psycopg.connect(**{**other, "dbname": "postgres"}, autocommit=True) as node:
            node.execute(f'CREATE DATABASE "{name}"')
        with psycopg.connect(**{**other, "dbname": name}, autocommit=True) as node:
            node.execute("CREATE EXTENSION citus")
    connection.execute("CREATE EXTENSION IF NOT EXISTS citus")
    for host, port, first in nodes:
        function = "citus_set_coordinator_host" if first else "citus_add_node"
        connection.execute(f"SELECT {function}(%s, %s)", [host, port])
    try:
        yield len(others)
    finally:
        for other in others:
            with psycopg.connect(**{**other, "dbname": "postgres"}, autocommit=True) as node:
                node.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _distributed(connection: psycopg.Connection[Any], chunks: int) -> Figure:
    started = time.perf_counter()
    connection.execute("SELECT pgknowbase_space_distribute_v1(id, true, %s) FROM pgknowbase_space", [SHARDS])
    seconds = time.perf_counter() - started
    return _told(figure("cluster", "distributing", [chunks / seconds], rows=chunks, unit="chunks/s", s=seconds))


def _part_distributed(
    connection: psycopg.Connection[Any], chunks: int, part: str, tables: Sequence[str], functions: str
) -> Figure:
    """Words or texts go to the servers; bytes a chunk that they take on the coordinator, before and after."""

    def size() -> int:
        statement = "SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) AS t"
        return int(connection.execute(statement, [list(tables)]).fetchall()[0][0])

    before, started = size(), time.perf_counter()
    connection.execute(
        f"SELECT {functions}_distribute_v1(true, format('%I.%I', store_schema, store_table)) FROM pgknowbase_space"
    )
    connection.execute(f"SELECT {functions}_shrink_v1()")
    seconds = time.perf_counter() - started
    return _told(
        figure(
            "cluster", f"distributing {part}", [chunks / seconds], rows=chunks, unit="documents/s", s=seconds,
            **{f"{part} on the coordinator, bytes before": round(before / chunks), "after": round(size() / chunks)},
        )
    )  # fmt: skip


def _answers(connection: psycopg.Connection[Any], kind: str, *, exactly: bool) -> dict[int, tuple[set[str], float]]:
    """What a kind of search finds for each query, and milliseconds."""
    queries = connection.execute(
        "SELECT id, embedding, words FROM pgknowbase_benchmark.query WHERE id <= %s OR NOT %s ORDER BY id",
        [EXACT, exactly],
    ).fetchall()
    ((big,),) = connection.execute("SELECT ARRAY[big] FROM pgknowbase_benchmark.source").fetchall()
    call = KINDS[kind].replace("dense_v1", "exact_v1") if exactly else KINDS[kind]
    statement = f"SELECT object_key FROM {call}".replace("%(vector)s", "%(vector)s::halfvec")
    found = {}
    for number, vector, words in queries:
        started = time.perf_counter()
        with connection.transaction():  # as the ORM does: else ef_search does not reach the shards
            rows = connection.execute(statement, {"vector": vector, "words": words, "big": big}).fetchall()
        found[number] = {key for (key,) in rows}, 1000 * (time.perf_counter() - started)
    return found


def _measured(
    connection: psycopg.Connection[Any], chunks: int, where: str, truth: dict[str, dict[int, tuple[set[str], float]]]
) -> Iterator[Figure]:
    yield from _searched(connection, chunks, where, truth)
    yield _told(_written(connection, chunks, where))


def _searched(
    connection: psycopg.Connection[Any], chunks: int, where: str, truth: dict[str, dict[int, tuple[set[str], float]]]
) -> Iterator[Figure]:
    for kind in truth:
        found = _answers(connection, kind, exactly=False)
        times = [milliseconds for _, milliseconds in found.values()]
        shares = [len(found[number][0] & keys) / len(keys) for number, (keys, _) in truth[kind].items() if keys]
        yield _told(
            figure(
                "cluster", f"{kind.replace('%%', '%')}, {where}", times, rows=chunks, unit="ms",
                target="recall >= 0.99", p95=percentile(times, 95), recall=round(sum(shares) / len(shares), 4),
            )
        )  # fmt: skip


def _told(known: Figure) -> Figure:
    print(line(known), file=sys.stderr, flush=True)
    return known


def _written(connection: psycopg.Connection[Any], chunks: int, where: str) -> Figure:
    """Chunks copied into the store with its vector index, as a worker does it; they are taken out again."""
    ((store,),) = connection.execute(
        "SELECT format('%I.%I', store_schema, store_table) FROM pgknowbase_space"
    ).fetchall()
    rows = connection.execute(
        # Opposite vectors: equal ones would be copies, which the index leaves out.
        f"SELECT source, 'w' || id, chunk_seq, chunk, (embedding - embedding - embedding)::text, tokens"
        f" FROM {store} LIMIT %s",
        [WRITTEN],
    ).fetchall()
    started = time.perf_counter()
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {store} (source, id, chunk_seq, chunk, embedding, tokens) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)
    seconds = time.perf_counter() - started
    connection.execute(f"DELETE FROM {store} WHERE id LIKE 'w%'")
    return figure("cluster", f"copied, {where}", [len(rows) / seconds], rows=chunks, unit="chunks/s")
