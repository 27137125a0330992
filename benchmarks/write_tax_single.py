"""Sixteen writers, one row at a time: with triggers and without, with no worker, one asleep, and one at work.

A worker at work takes a core from the writers, whether their table has triggers or not. So it works beside both tables
alike, at what is being written or at a backlog of the same, and the ratio of the two is what the trigger costs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil
import psycopg
from psycopg import sql

from benchmarks import corpus
from benchmarks.cpu import own
from benchmarks.database import Database
from benchmarks.processes import workers
from benchmarks.report import Figure, figure, middle, ratio
from benchmarks.stats import Stopwatch, alternate, median, stopwatch

CLIENTS = 16
TABLES = dict(zip(("ours", "none", "pgai"), corpus.TABLES, strict=True))
TARGETS = {"unwatched UPDATE": ">= 0.97x of none", "watched UPDATE": ">= 0.90x of none", "INSERT": ""}
SCRIPTS = {
    "unwatched UPDATE": "write_tax_unwatched.sql",
    "watched UPDATE": "write_tax_watched.sql",
    "INSERT": "write_tax_insert.sql",
}
BACKLOG = "UPDATE catalog_article SET title = 'Document ' || floor(random() * 1000000000)"


@dataclass
class Setting:
    """What all runs share; ``worker`` is None, or the child whose use of a core is noted in ``busy``."""

    database: Database
    connection: psycopg.Connection[Any]
    rows: int
    seconds: float
    worker: psutil.Process | None = None
    awake: bool = False
    busy: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def run(database: Database, connection: psycopg.Connection[Any], *, quick: bool) -> list[Figure]:
    rows, rounds, seconds = (5_000, 2, 1) if quick else (20_000, 10, 2)
    figures = []
    with _autovacuum_off(connection):
        setting = Setting(database, connection, rows, seconds)
        for kind in TARGETS:
            _fill(connection, rows, kind)
            figures += _measure(setting, kind, "no worker", list(TABLES), rounds)
        _fill(connection, rows, "watched UPDATE")
        for state in ("asleep", "awake"):
            figures += _beside_worker(setting, state, rounds)
    return figures


def _beside_worker(setting: Setting, state: str, rounds: int) -> list[Figure]:
    with workers(["asleep" if state == "asleep" else "ours"]) as (worker,):
        worker.say("go")
        setting.worker, setting.awake = psutil.Process(worker.process.pid), state == "awake"
        return _measure(setting, "watched UPDATE", f"worker {state}", ["ours", "none"], rounds)


def _measure(setting: Setting, kind: str, state: str, owners: list[str], rounds: int) -> list[Figure]:
    cases: dict[str, Callable[[], float]] = {owner: partial(_throughput, setting, kind, owner) for owner in owners}
    if rounds > 2:  # the first round pays for cold caches and for whole pages in the WAL
        alternate(1, cases)
    setting.busy.clear()
    rates = alternate(rounds, cases)
    return [
        against_none(
            f"single {kind}, {CLIENTS} clients, {state}, {owner}",
            values,
            rates["none"],
            setting.rows,
            "rows/s",
            TARGETS[kind] if owner == "ours" else "",
            **({"worker, % of a core": median(setting.busy[owner])} if setting.worker else {}),
        )
        for owner, values in rates.items()
    ]


def _throughput(setting: Setting, kind: str, owner: str) -> float:
    connection, table = setting.connection, TABLES[owner]
    connection.execute("TRUNCATE pgknowbase_outbox")
    if kind == "INSERT":
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
    else:
        connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(table)))
    if setting.awake and owner == "none":
        connection.execute(BACKLOG)
    watch, before = Stopwatch(), own(setting.worker) if setting.worker else 0.0
    with stopwatch(watch):
        rate = setting.database.pgbench(
            SCRIPTS[kind], clients=CLIENTS, seconds=setting.seconds, variables={"rows": setting.rows}, table=table
        )
    if setting.worker:
        setting.busy[owner].append(100 * (own(setting.worker) - before) / watch.seconds)
    return rate


def _fill(connection: psycopg.Connection[Any], rows: int, kind: str) -> None:
    corpus.clear(connection)
    if kind == "INSERT":
        return
    connection.execute("DELETE FROM staged WHERE id > %s", [rows])
    for table in TABLES.values():
        corpus.load(connection, table)
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


@contextmanager
def _autovacuum_off(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """It would come to one of the tables in the middle of a run; each is vacuumed before its run instead."""
    tables = [*TABLES.values(), "pgknowbase_outbox"]
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(sql.Identifier(table)))
    try:
        yield
    finally:
        for table in tables:
            connection.execute(sql.SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(sql.Identifier(table)))


def against_none(
    case: str, values: list[float], base: list[float], rows: int, unit: str, target: str, **more: Any
) -> Figure:
    """A figure whose ratio is to the table without triggers."""
    return figure(
        "write-tax",
        case,
        values,
        rows=rows,
        unit=unit,
        against="none",
        ratio=ratio(values, base),
        target=target,
        **{"ratio, middle half": middle(values, base)},
        **more,
    )
