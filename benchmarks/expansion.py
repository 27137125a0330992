"""One related row that many source rows show: what its change costs writer and worker, and a fresh row meanwhile."""

import time
from typing import Any

import psycopg

from benchmarks import corpus
from benchmarks.database import Database
from benchmarks.processes import Child, workers
from benchmarks.report import Figure, figure
from benchmarks.stats import percentile, timed

FILL = """INSERT INTO catalog_story (id, title, body, views, author_id)
    SELECT n, 'Story ' || n, 'A story of no consequence, the one with number ' || n || '.', 0, 1
    FROM generate_series(1, %s) AS n"""
FRESH = (
    "INSERT INTO catalog_story (id, title, body, views, author_id) VALUES (%s, 'Fresh', 'Fresh from the press.', 0, 2)"
)
FOUND = """SELECT 1 FROM pgknowbase_chunk AS c JOIN django_content_type AS t ON t.id = c.source
    WHERE t.app_label = 'catalog' AND t.model = 'story' AND c.id = %s"""
UNDONE = {
    "email": """SELECT EXISTS (SELECT FROM pgknowbase_outbox) OR EXISTS (SELECT FROM pgknowbase_expansion)""",
    "name": """SELECT EXISTS (SELECT FROM pgknowbase_outbox) OR EXISTS (SELECT FROM pgknowbase_expansion)
        OR EXISTS (SELECT FROM pgknowbase_externaldata WHERE status IN ('pending', 'processing'))""",
}
SHOWN = {"email": "shown in the metadata", "name": "shown in the text"}
GIVE_UP = 300.0


def run(database: Database, *, quick: bool) -> list[Figure]:
    figures = []
    for column, rows in (("email", 100), ("name", 30)) if quick else (("email", 100_000), ("name", 10_000)):
        with database.connect() as connection:
            _prepare(connection, rows)
            with workers(["ours"]) as (worker,):
                figures += _change(connection, worker, column, rows)
            corpus.clear(connection)
    return figures


def _prepare(connection: psycopg.Connection[Any], rows: int) -> None:
    """Stories in the index, as if they had been embedded long ago."""
    from pgknowbase.relay.relay import Relay

    corpus.clear(connection)
    connection.execute("INSERT INTO catalog_author (id, name, email) VALUES (1, 'Ann', 'a@x'), (2, 'Bob', 'b@x')")
    connection.execute(FILL, [rows])
    relay = Relay()
    while not relay.run_once().idle:
        pass
    connection.execute("UPDATE pgknowbase_externaldata SET status = 'completed'")
    row = connection.execute(
        "SELECT format('%I.%I', queue_schema, queue_table) FROM ai.vectorizer AS v JOIN pgknowbase_space AS s"
        " ON s.vectorizer_id = v.id WHERE s.is_active"
    ).fetchone()
    assert row is not None
    connection.execute(f"TRUNCATE {row[0]}")
    connection.execute("VACUUM ANALYZE")


def _change(connection: psycopg.Connection[Any], worker: Child, column: str, rows: int) -> list[Figure]:
    worker.say("go")
    time.sleep(1)
    before = [_lag(connection, rows + number) for number in range(1, 6)]
    changed = f"UPDATE catalog_author SET {column} = {column} || '!' WHERE id = 1"
    writer = 1000 * timed(lambda: connection.execute(changed))  # type: ignore[call-overload]
    started, lags = time.perf_counter(), []
    while _undone(connection, column):
        if time.perf_counter() - started > GIVE_UP:
            raise RuntimeError(f"the change of an author of {rows:,} rows is not worked off after {GIVE_UP} s")
        lags.append(_lag(connection, rows + 6 + len(lags)))
    seconds = time.perf_counter() - started
    case = f"author of {rows:,} rows changes, {SHOWN[column]}"
    return [
        figure("relay", f"{case}: the writer's statement", [writer], rows=rows, unit="ms"),
        figure("relay", f"{case}: until all are done", [seconds], rows=rows, unit="s", **{"rows/s": rows / seconds}),
        figure("relay", f"{case}: lag of a fresh row before", before, rows=len(before), unit="ms"),
        figure(
            "relay",
            f"{case}: lag of a fresh row meanwhile",
            lags or [0.0],
            rows=len(lags),
            unit="ms",
            p95=percentile(lags or [0.0], 95),
        ),
    ]


def _undone(connection: psycopg.Connection[Any], column: str) -> bool:
    row = connection.execute(UNDONE[column]).fetchone()  # type: ignore[call-overload]
    return bool(row[0])


def _lag(connection: psycopg.Connection[Any], number: int) -> float:
    """Milliseconds from commit to searchable."""
    time.sleep(0.1)
    connection.execute(FRESH, [number])
    committed = time.perf_counter()
    while connection.execute(FOUND, [str(number)]).fetchone() is None:
        if time.perf_counter() - committed > GIVE_UP:
            raise RuntimeError(f"row {number} did not become searchable within {GIVE_UP} s")
        time.sleep(0.002)
    return (time.perf_counter() - committed) * 1000
