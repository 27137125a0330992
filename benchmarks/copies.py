"""Many chunks with one vector: what a vector index finds, how fast, and what it costs to keep copies out of it."""

from functools import partial
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg

from benchmarks.database import Database
from benchmarks.report import Figure, figure, ratio
from benchmarks.stats import alternate, percentile

INDEX = """
CREATE INDEX {store}_hnsw ON {store} USING hnsw ((embedding::halfvec({dim})) halfvec_cosine_ops)
WITH (m = 16, ef_construction = 200) {where}
"""
FOUND = """
SELECT external_data_id FROM pgknowbase_search_{function}_v1(
    %s::text::halfvec, 10, pgknowbase_filter_v1(threshold => -1){options})
"""
INSERT = """
INSERT INTO {store} (source, id, chunk_seq, chunk, embedding)
SELECT s.source, 'new ' || n, 0, 'new',
    l2_normalize(s.embedding + array_fill(random()::real * 0.02, ARRAY[{dim}])::vector)
FROM generate_series(1, {rows}) AS n
CROSS JOIN LATERAL (SELECT source, embedding FROM {store} WHERE id = (37 * n)::text OFFSET 0) AS s
"""


def run(database: Database, *, quick: bool) -> list[Figure]:
    clusters, letters, builds = (10, 100, 1) if quick else (150, 1000, 3)
    figures: list[Figure] = []
    with database.connect() as connection:
        row = connection.execute("SELECT store_table, dimensions FROM pgknowbase_space WHERE is_active").fetchone()
        assert row is not None
        names = {"store": row[0], "dim": row[1]}
        for case, copies, where in (
            ("stored once", 1, "WHERE NOT is_copy"),
            (f"{letters:,} copies, all in the index", letters, ""),
            (f"{letters:,} copies, one in the index", letters, "WHERE NOT is_copy"),
        ):
            database.psql("copies_data.sql", {"clusters": clusters, "letters": copies})
            figures += _searches(connection, case, names | {"where": where}, builds, 100 * clusters + copies)
        figures += _inserts(connection, names, rounds=2 if quick else 10, rows=20 if quick else 200)
        database.psql("vectors_clean.sql")
        connection.execute(_text(INDEX, names | {"where": "WHERE NOT is_copy"}))
    return figures


def _searches(
    connection: psycopg.Connection[Any], case: str, names: dict[str, object], builds: int, rows: int
) -> list[Figure]:
    """Queries near each cluster, over a few builds of the index: its levels are drawn by chance."""
    queries = [query for (query,) in connection.execute("SELECT v::text FROM pgknowbase_benchmark.centre ORDER BY n")]
    best = [_found(connection, query, "exact", "")[0] for query in queries]
    times, shares = [], []
    for _ in range(builds):
        connection.execute(_text("DROP INDEX IF EXISTS {store}_hnsw", names))
        connection.execute(_text(INDEX, names))
        _found(connection, queries[0], "dense", ", exact_search_max_chunks => 0")
        for query, right in zip(queries, best, strict=True):
            found, milliseconds = _found(connection, query, "dense", ", exact_search_max_chunks => 0")
            times.append(milliseconds)
            shares.append(len(found & right) / len(right))
    lost = shares.count(0) / builds
    more = {"p95": percentile(times, 95), "recall@10": sum(shares) / len(shares), "clusters without a hit": lost}
    return [figure("copies", f"search, letter {case}", times, rows=rows, unit="CPU ms", **more)]


def _found(connection: psycopg.Connection[Any], query: str, function: str, options: str) -> tuple[set[int], float]:
    text = _text(FOUND, {"function": function, "options": options})
    started = _clock(connection)
    found = {key for (key,) in connection.execute(text, [query])}
    return found, _clock(connection) - started


def _inserts(connection: psycopg.Connection[Any], names: dict[str, object], rounds: int, rows: int) -> list[Figure]:
    """New vectors with and without the triggers, into a store with a vector index and into one without."""
    figures = []
    for index in ("with", "without"):
        if index == "without":
            connection.execute(_text("DROP INDEX {store}_hnsw", names))
        cases = {
            f"insert, {triggers}, {index} index": partial(_insert, connection, names | {"rows": rows}, switch)
            for triggers, switch in (("no triggers", "DISABLE"), ("triggers", "ENABLE"))
        }
        (base, values) = (found := alternate(rounds, cases)).values()
        figures += [
            figure(
                "copies",
                case,
                measured,
                rows=rows,
                unit="CPU µs/row",
                against="no triggers",
                ratio=ratio(measured, base),
            )
            for case, measured in zip(found, (base, values), strict=True)
        ]
    return figures


def _insert(connection: psycopg.Connection[Any], names: dict[str, object], switch: str) -> float:
    """Microseconds for each row, rolled back."""
    connection.execute("BEGIN")
    connection.execute(_text("ALTER TABLE {store} {switch} TRIGGER USER", names | {"switch": switch}))
    started = _clock(connection)
    connection.execute(_text(INSERT, names))
    spent = _clock(connection) - started
    connection.execute("ROLLBACK")
    return 1000 * spent / cast(int, names["rows"])


def _clock(connection: psycopg.Connection[Any]) -> float:
    """Milliseconds that the server's process has spent on the processor: what else the machine does hardly counts."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def _text(template: str, names: dict[str, object]) -> LiteralString:
    return cast(LiteralString, template.format(**names))
