"""The outbox alone: events claimed, looked at and acknowledged, for rows that their hooks keep out of the index."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg

from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.report import Figure, figure, ratio
from benchmarks.stats import alternate, median, timed

TARGET = ">= 10,000 keys/s"
FILL = """INSERT INTO catalog_draft (id, title, body, views)
    SELECT n, 'Draft ' || n, 'What nobody is to find.', 0 FROM generate_series(%s::int + 1, %s::int) AS n"""
# One event per row, as from as many single statements.
UPDATE = """UPDATE catalog_draft SET title = title || '.'
    WHERE id IN (SELECT (n * %s::bigint) / %s FROM generate_series(1, %s) AS n)"""
DEAD = """INSERT INTO pgknowbase_outbox (source, path, object_keys, op)
    SELECT 'catalog.Draft', '', ARRAY[n::text], 'U' FROM generate_series(1, %s) AS n"""


def run(database: Database, *, quick: bool) -> list[Figure]:
    keys, rounds, sizes, dead = (
        (100, 2, (100, 1_000), 500) if quick else (10_000, 5, (10_000, 100_000, 1_000_000), 1_000_000)
    )
    with database.connect() as connection:
        connection.execute("TRUNCATE catalog_draft")
        figures: list[Figure] = []
        flat: dict[str, float] = {}
        filled = 0
        for size in sizes:
            connection.execute(FILL, [filled, size])
            filled = size
            connection.execute("VACUUM ANALYZE catalog_draft")
            figures += _by_size(connection, keys, size, rounds, flat)
        for writes in (False, True):
            figures += _beside_dead(database, connection, keys, dead, rounds, filled, writes=writes)
        connection.execute("TRUNCATE catalog_draft")
        connection.execute("TRUNCATE pgknowbase_outbox")
    return figures


def _by_size(
    connection: psycopg.Connection[Any], keys: int, size: int, rounds: int, flat: dict[str, float]
) -> list[Figure]:
    meter = Meter(connection)
    cores: dict[str, list[float]] = {name: [] for name in WRITES}

    def measure(name: str) -> float:
        rate, per_core = _rate(connection, meter, keys, partial(WRITES[name], connection, keys, size))
        cores[name].append(per_core)
        connection.execute("DELETE FROM catalog_draft WHERE id > %s", [size])
        connection.execute("VACUUM catalog_draft")
        return rate

    rates = alternate(rounds, {name: partial(measure, name) for name in WRITES})
    return [
        figure(
            "relay",
            f"outbox, {keys:,} keys by {name}, table of {size:,}",
            values,
            rows=size,
            unit="keys/s",
            against="the smallest table, by CPU",
            ratio=median(cores[name]) / flat.setdefault(name, median(cores[name])),
            target=TARGET,
            **{"keys per CPU second": median(cores[name])},
        )
        for name, values in rates.items()
    ]


def _update(connection: psycopg.Connection[Any], keys: int, size: int) -> None:
    connection.execute(UPDATE, [size, keys, keys])


def _insert(connection: psycopg.Connection[Any], keys: int, size: int) -> None:
    """New rows behind the others."""
    connection.execute(FILL, [size, size + keys])


WRITES: dict[str, Callable[[psycopg.Connection[Any], int, int], None]] = {
    "UPDATE events": _update,
    "INSERT events": _insert,
}


def _rate(
    connection: psycopg.Connection[Any], meter: Meter, keys: int, write: Callable[[], None]
) -> tuple[float, float]:
    """Keys per second and per CPU second, of Python and Postgres, from an outbox that was truncated before."""
    from pgknowbase.relay.relay import Relay

    connection.execute("TRUNCATE pgknowbase_outbox")
    write()
    relay = Relay()
    before = meter.seconds([os.getpid()])
    rate = keys / timed(partial(_drain, relay))
    return rate, keys / meter.since(before, [os.getpid()])


def _drain(relay: Any) -> None:
    while not relay.run_once().idle:
        pass


def _beside_dead(
    database: Database,
    connection: psycopg.Connection[Any],
    keys: int,
    dead: int,
    rounds: int,
    size: int,
    *,
    writes: bool,
) -> list[Figure]:
    """Dead events that an old snapshot holds in table and index: the first turn walks over them, the later do not.

    writes: the transaction that holds the snapshot has written, so it may still commit an event of its own.
    """
    from pgknowbase.relay.relay import Relay

    clean, beside, first, rising = [], [], [], []
    meter = Meter(connection)
    cores = []
    for _ in range(rounds):
        clean.append(_rate(connection, meter, keys, partial(_update, connection, keys, size))[0])
        connection.execute("TRUNCATE pgknowbase_outbox")
        with _old_snapshot(database, writes=writes):
            connection.execute(DEAD, [dead])
            connection.execute("DELETE FROM pgknowbase_outbox")
            relay = Relay()
            _update(connection, keys, size)
            first.append(1000 * timed(relay.run_once))
            rising.append(timed(partial(_until_risen, relay)))
            _drain(relay)
            _update(connection, keys, size)
            before = meter.seconds([os.getpid()])
            beside.append(keys / timed(partial(_drain, relay)))
            cores.append(keys / meter.since(before, [os.getpid()]))
    name = f"outbox with {dead:,} dead events held by {'an open writer' if writes else 'an old snapshot'}"
    return [
        figure("relay", f"{name}: a worker's first turn", first, rows=size, unit="ms"),
        figure("relay", f"{name}: from then until its floor is above them", rising, rows=size, unit="s"),
        figure(
            "relay",
            f"{name}: from then on",
            beside,
            rows=size,
            unit="keys/s",
            against="an empty outbox",
            ratio=ratio(beside, clean),
            target=TARGET,
            **{"keys per CPU second": median(cores)},
        ),
    ]


def _until_risen(relay: Any) -> None:
    """Turn on until the floor is above the dead events, all of which it passes at once."""
    deadline = time.monotonic() + 60
    while not relay.low_watermark.value:
        if time.monotonic() > deadline:
            raise RuntimeError("the floor has not risen after 60 s")
        if relay.run_once().idle:
            time.sleep(0.03)


@contextmanager
def _old_snapshot(database: Database, *, writes: bool) -> Iterator[None]:
    with database.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1 FROM pgknowbase_outbox LIMIT 1")
        if writes:
            connection.execute("SELECT pg_current_xact_id()")
        yield
