"""What the triggers cost a writer: one table shape with ours, with none, and with pgai's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import corpus, pgai_vectorizer
from benchmarks.database import Database
from benchmarks.report import Figure, figure, ratio
from benchmarks.stats import alternate, timed

OURS, PLAIN, PGAI = corpus.TABLES[0], corpus.TABLES[1], corpus.TABLES[2]
TABLES = {"ours": OURS, "none": PLAIN, "pgai": PGAI}
TARGETS = {"unwatched": ">= 0.97x of none", "watched": ">= 0.90x of none"}
BULK_TARGETS = {"INSERT": "<= 1.5x of none", "watched UPDATE": "<= 2.1x of none", "unwatched UPDATE": ""}


def run(database: Database, *, quick: bool) -> list[Figure]:
    rows, rounds, seconds = (5_000, 2, 1) if quick else (200_000, 5, 3)
    with database.connect() as connection:
        corpus.stage(connection, rows)
        vectorizer = pgai_vectorizer.create(connection)
        try:
            figures = _bulk(connection, rows, rounds if quick else 3)
            figures += _single(database, connection, min(rows, 20_000), rounds, seconds)
        finally:
            pgai_vectorizer.drop(connection, vectorizer)
        corpus.clear(connection)
    return figures


def _bulk(connection: psycopg.Connection[Any], rows: int, rounds: int) -> list[Figure]:
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in BULK_TARGETS}

    def measure(table: str) -> float:
        corpus.clear(connection)
        name = sql.Identifier(table)
        steps: dict[str, Callable[[], object]] = {
            "INSERT": partial(corpus.load, connection, table),
            "unwatched UPDATE": partial(_update, connection, sql.SQL("UPDATE {} SET views = views + 1").format(name)),
            "watched UPDATE": partial(_update, connection, sql.SQL("UPDATE {} SET title = title || '.'").format(name)),
        }
        owner = next(key for key, value in TABLES.items() if value == table)
        for kind, step in steps.items():
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))
            connection.execute("CHECKPOINT")
            found[kind].setdefault(owner, []).append(timed(step))
        return 0.0

    alternate(rounds, {owner: partial(measure, table) for owner, table in TABLES.items()})
    return [
        _figure(
            f"bulk {kind}, {owner}", values, by_owner["none"], rows, "s", BULK_TARGETS[kind] if owner == "ours" else ""
        )
        for kind, by_owner in found.items()
        for owner, values in by_owner.items()
    ]


def _update(connection: psycopg.Connection[Any], statement: sql.Composed) -> None:
    connection.execute(statement)


def _single(
    database: Database, connection: psycopg.Connection[Any], rows: int, rounds: int, seconds: float
) -> list[Figure]:
    corpus.clear(connection)
    connection.execute("DELETE FROM staged WHERE id > %s", [rows])
    for table in TABLES.values():
        corpus.load(connection, table)
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
    figures = []
    for kind, target in TARGETS.items():
        for clients in (1, 16):
            cases = {
                owner: partial(_throughput, database, connection, kind, table, rows, clients, seconds)
                for owner, table in TABLES.items()
            }
            rates = alternate(rounds, cases)
            figures += [
                _figure(
                    f"{kind} UPDATE, {clients} clients, {owner}",
                    values,
                    rates["none"],
                    rows,
                    "rows/s",
                    target if owner == "ours" else "",
                )
                for owner, values in rates.items()
            ]
    return figures


def _throughput(
    database: Database,
    connection: psycopg.Connection[Any],
    kind: str,
    table: str,
    rows: int,
    clients: int,
    seconds: float,
) -> float:
    connection.execute("TRUNCATE pgknowbase_outbox")
    connection.execute("CHECKPOINT")
    variables = {"rows": rows, "table": table}
    return database.pgbench(f"write_tax_{kind}.sql", clients=clients, seconds=seconds, variables=variables)


def _figure(case: str, values: list[float], base: list[float], rows: int, unit: str, target: str) -> Figure:
    return figure(
        "write-tax", case, values, rows=rows, unit=unit, against="none", ratio=ratio(values, base), target=target
    )
