"""From COMMIT to searchable, one row at a time, with one worker that had nothing to do."""

import random
import time
from typing import Any

import psycopg

from benchmarks import corpus
from benchmarks.database import Database
from benchmarks.processes import workers
from benchmarks.report import Figure, figure
from benchmarks.stats import percentile

FOUND = """SELECT 1 FROM pgknowbase_chunk AS c JOIN django_content_type AS t ON t.id = c.source
    WHERE t.app_label = 'catalog' AND t.model = 'article' AND c.id = %s"""


def run(database: Database, *, quick: bool) -> list[Figure]:
    samples = 10 if quick else 100
    with database.connect() as connection, workers(["ours"]) as (worker,):
        corpus.stage(connection, samples + 1)
        corpus.clear(connection)
        worker.say("go")
        lags = [_lag(connection, number) for number in range(1, samples + 2)][1:]
        corpus.clear(connection)
    return [
        figure(
            "lag",
            "commit to searchable, idle worker",
            lags,
            rows=samples,
            unit="ms",
            p50=percentile(lags, 50),
            p95=percentile(lags, 95),
            p99=percentile(lags, 99),
        )
    ]


def _lag(connection: psycopg.Connection[Any], number: int) -> float:
    """Milliseconds."""
    time.sleep(random.uniform(0.1, 0.5))
    connection.execute(
        "INSERT INTO catalog_article (id, title, body, views) SELECT id, title, body, 0 FROM staged WHERE id = %s",
        [number],
    )
    committed = time.perf_counter()
    while connection.execute(FOUND, [str(number)]).fetchone() is None:
        if time.perf_counter() - committed > 30:
            raise RuntimeError(f"row {number} did not become searchable within 30 s")
        time.sleep(0.001)
    return (time.perf_counter() - committed) * 1000
