"""The relay: events to documents and what the time goes to, the outbox alone, and the change of a related row."""

import cProfile
import os
import pstats
import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks import corpus, expansion, outbox
from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.report import Figure, figure

SHARES = {
    "execute SQL": ("gateway.py", "fetch"),
    "load rows": ("rendering.py", "_load"),
    "render": ("render.py", "record"),
    "apply": ("sync.py", "_apply"),
}


def run(database: Database, *, quick: bool) -> list[Figure]:
    return [
        *_plain(database, quick=quick),
        *outbox.run(database, quick=quick),
        *expansion.run(database, quick=quick),
    ]


def _plain(database: Database, *, quick: bool) -> list[Figure]:
    rows, rounds = (50, 2) if quick else (20_000, 5)
    walls: list[float] = []
    cores: list[float] = []
    with database.connect() as connection:
        corpus.stage(connection, rows)
        for _ in range(rounds):
            _fill(connection)
            wall, busy = _drain(connection)
            walls.append(rows / wall)
            cores.append(rows / busy)
        _fill(connection)
        shares = _profiled(lambda: _drain(connection))
        corpus.clear(connection)
    return [
        figure("relay", "plain model, per second", walls, rows=rows, unit="rows/s", **shares),
        figure(
            "relay",
            "plain model, per CPU second (Python and Postgres)",
            cores,
            rows=rows,
            unit="rows/s",
            target=">= 3,000 per core",
        ),
    ]


def _fill(connection: psycopg.Connection[Any]) -> None:
    corpus.clear(connection)
    corpus.load(connection, "catalog_article")


def _drain(connection: psycopg.Connection[Any]) -> tuple[float, float]:
    """Wall seconds and CPU seconds until the outbox is empty."""
    from django.db import connection as ours

    from pgknowbase.relay.relay import Relay

    relay = Relay()
    ours.ensure_connection()
    meter = Meter(connection)
    started, busy = time.perf_counter(), meter.seconds([os.getpid()])
    while not relay.run_once().idle:
        pass
    return time.perf_counter() - started, meter.since(busy, [os.getpid()])


def _profiled(function: Callable[[], object]) -> dict[str, float]:
    """Percent of the time, waiting for Postgres included; "load rows" and "apply" hold a part of "execute SQL"."""
    profile = cProfile.Profile()
    profile.runcall(function)
    stats: Any = pstats.Stats(profile)
    total = stats.total_tt
    shares = {}
    for name, (file, called) in SHARES.items():
        seconds = sum(
            entry[3] for (path, _, what), entry in stats.stats.items() if path.endswith(file) and what == called
        )
        shares[f"% {name}"] = round(100 * seconds / total)
    return shares
