"""A large first load beside a standing worker with default settings: until nothing is left to do for it."""

import time
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import corpus
from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.processes import workers
from benchmarks.report import Figure, figure

GIVE_UP = 3600.0
# Above this many chunks searches walk a vector index: SEARCH["EXACT_SEARCH_MAX_CHUNKS"].
NEEDS_INDEX = 15_000
STALE = "SELECT count(*) FROM pgknowbase_keywords WHERE stale"
INDEXED = """SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = %s::regclass AND c.relname = %s AND i.indisvalid"""
SEARCH = """SELECT s.object_key FROM pgknowbase_search_dense_v1(
    (SELECT embedding FROM pgknowbase_chunk LIMIT 1), 10, pgknowbase_filter_v1(threshold => -1)) AS s"""


def run(database: Database, *, quick: bool, sizes: tuple[int, ...] = ()) -> list[Figure]:
    figures = []
    for rows in sizes or ((2_000,) if quick else (100_000,)):
        with database.connect() as connection:
            corpus.stage(connection, rows)
            corpus.clear(connection)
            figures += _measure(connection, rows)
            corpus.clear(connection)
    return figures


def _measure(connection: psycopg.Connection[Any], rows: int) -> list[Figure]:
    """Seconds from the start of the INSERT, by what is done."""
    store = str(_value(connection, "SELECT store_table FROM pgknowbase_space WHERE is_active"))
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(store))
    steps: dict[str, float] = {}
    slowest = 0.0
    with workers(["ours"]) as (worker,):
        meter = Meter(connection)
        before, started = meter.seconds([worker.process.pid]), time.monotonic()
        corpus.load(connection, "catalog_article")
        worker.say("go")
        while len(steps) < 3:
            if "embedded" not in steps and _value(connection, count) == rows:
                steps["embedded"] = time.monotonic() - started
            if "embedded" in steps and "words" not in steps and not _value(connection, STALE):
                steps["words"] = time.monotonic() - started
            if "embedded" in steps and (rows <= NEEDS_INDEX or _value(connection, INDEXED, [store, f"{store}_hnsw"])):
                steps.setdefault("index", time.monotonic() - started)
            if time.monotonic() > started + GIVE_UP:
                raise RuntimeError(f"not done after {GIVE_UP} s, only {steps}")
            asked = time.monotonic()
            connection.execute(SEARCH).fetchall()
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(1.0)
        total, busy = max(steps.values()), meter.since(before, [worker.process.pid])
    return [
        figure(
            "first-load",
            "INSERT until all is embedded, has its words, and is in the vector index",
            [total],
            rows=rows,
            unit="s",
            **{f"{name}, s": round(seconds, 1) for name, seconds in steps.items()},
            **{"rows/s": round(rows / total), "CPU s": round(busy, 1), "slowest search, ms": round(1000 * slowest)},
        )
    ]


def _value(connection: psycopg.Connection[Any], statement: Any, parameters: list[Any] | None = None) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]
