"""From commit to searchable, with an idle worker and with one that has 100 writes a second; and what idling costs."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks import corpus
from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.processes import Child, workers
from benchmarks.report import Figure, figure
from benchmarks.stats import percentile

FOUND = """SELECT 1 FROM pgknowbase_chunk AS c JOIN django_content_type AS t ON t.id = c.source
    WHERE t.app_label = 'catalog' AND t.model = 'article' AND c.id = %s"""
INSERT = "INSERT INTO catalog_article (id, title, body, views) SELECT id, title, body, 0 FROM staged WHERE id = %s"
WRITES_PER_SECOND = 100
MOST_WRITES = 120 * WRITES_PER_SECOND


def run(database: Database, *, quick: bool) -> list[Figure]:
    samples, seconds, most_writes = (5, 2.0, 1_000) if quick else (200, 20.0, MOST_WRITES)
    written = 2 * (samples + 1)
    with database.connect() as connection:
        corpus.stage(connection, written + most_writes)
        corpus.clear(connection)
        with workers(["ours"]) as (worker,):
            worker.say("go")
            idle = [_lag(connection, number) for number in range(1, samples + 2)][1:]
            cpu = _idle_cpu(connection, worker, seconds)
            with _writes(database, written + 1, most_writes) as rate:
                busy = [_lag(connection, number) for number in range(samples + 2, written + 1)][1:]
        corpus.clear(connection)
    return [
        _figure("commit to searchable, idle worker", idle, "p50 < 50 ms"),
        _figure(f"commit to searchable, {WRITES_PER_SECOND} writes/s beside", busy, "p99 < 1000 ms", rate()),
        figure("lag", "CPU of an idle worker and its server", cpu, rows=0, unit="% of a core"),
    ]


def _figure(case: str, lags: list[float], target: str, rate: float | None = None) -> Figure:
    shares = {f"p{percent}": percentile(lags, percent) for percent in (50, 95, 99)}
    if rate is not None:
        shares["writes/s"] = rate
    return figure("lag", case, lags, rows=len(lags), unit="ms", target=target, **shares)


def _lag(connection: psycopg.Connection[Any], number: int) -> float:
    """Milliseconds."""
    time.sleep(random.uniform(0.1, 0.3))
    connection.execute(INSERT, [number])
    committed = time.perf_counter()
    while connection.execute(FOUND, [str(number)]).fetchone() is None:
        if time.perf_counter() - committed > 30:
            raise RuntimeError(f"row {number} did not become searchable within 30 s")
        time.sleep(0.001)
    return (time.perf_counter() - committed) * 1000


def _idle_cpu(connection: psycopg.Connection[Any], worker: Child, seconds: float) -> list[float]:
    meter = Meter(connection)
    found = []
    for _ in range(3):
        before = meter.seconds([worker.process.pid])
        time.sleep(seconds / 3)
        found.append(100 * meter.since(before, [worker.process.pid]) / (seconds / 3))
    return found


@contextmanager
def _writes(database: Database, first: int, at_most: int) -> Iterator[Callable[[], float]]:
    """Rows one by one, each in a transaction of its own, in an even rhythm; gives how many there were per second."""
    ended = threading.Event()
    started = time.monotonic()
    moments: list[float] = []

    def write() -> None:
        with database.connect() as connection:
            while not ended.is_set() and len(moments) < at_most:
                connection.execute(INSERT, [first + len(moments)])
                moments.append(time.monotonic())
                ended.wait(max(0.0, started + len(moments) / WRITES_PER_SECOND - time.monotonic()))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: len(moments) / (moments[-1] - started)
    finally:
        ended.set()
        thread.join()
