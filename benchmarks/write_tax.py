"""What the triggers cost a writer: one table shape with ours, with none, and with pgai's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import corpus, pgai_vectorizer, write_tax_single
from benchmarks.database import Database
from benchmarks.report import Figure
from benchmarks.stats import alternate, timed
from benchmarks.write_tax_single import TABLES, against_none

TARGETS = {"INSERT": "<= 1.5x of none", "watched UPDATE": "<= 2.1x of none", "unwatched UPDATE": ""}


def run(database: Database, *, quick: bool) -> list[Figure]:
    rows, rounds = (5_000, 2) if quick else (200_000, 5)
    with database.connect() as connection:
        corpus.stage(connection, rows)
        vectorizer = pgai_vectorizer.create(connection)
        try:
            figures = _bulk(connection, rows, rounds)
            figures += write_tax_single.run(database, connection, quick=quick)
        finally:
            pgai_vectorizer.drop(connection, vectorizer)
        corpus.clear(connection)
    return figures


def _bulk(connection: psycopg.Connection[Any], rows: int, rounds: int) -> list[Figure]:
    found: dict[str, dict[str, list[float]]] = {kind: {owner: [] for owner in TABLES} for kind in TARGETS}

    def measure(owner: str) -> float:
        corpus.clear(connection)
        name = sql.Identifier(TABLES[owner])
        steps: dict[str, Callable[[], object]] = {
            "INSERT": partial(corpus.load, connection, TABLES[owner]),
            "unwatched UPDATE": partial(_update, connection, sql.SQL("UPDATE {} SET views = views + 1").format(name)),
            "watched UPDATE": partial(_update, connection, sql.SQL("UPDATE {} SET title = title || '.'").format(name)),
        }
        for kind, step in steps.items():
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))
            connection.execute("CHECKPOINT")
            found[kind][owner].append(timed(step))
        return 0.0

    cases = {owner: partial(measure, owner) for owner in TABLES}
    alternate(2, cases)  # pgai's trigger takes long, and needs no more to be told from the others
    alternate(rounds - 2, {owner: cases[owner] for owner in ("ours", "none")})
    return [
        against_none(
            f"bulk {kind}, {owner}",
            values,
            by_owner["none"][: len(values)],
            rows,
            "s",
            TARGETS[kind] if owner == "ours" else "",
        )
        for kind, by_owner in found.items()
        for owner, values in by_owner.items()
    ]


def _update(connection: psycopg.Connection[Any], statement: sql.Composed) -> None:
    connection.execute(statement)
