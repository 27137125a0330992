"""From INSERT to searchable: our worker, our relay with pgai's worker, and pgai's worker alone.

Ours and pgai's embed through the same HTTP server, with the same splitter, template, batches and encoding of vectors.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import corpus, pgai_vectorizer
from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.processes import EmbeddingServer, embedding_server, workers
from benchmarks.report import Figure, figure, middle, ratio
from benchmarks.stats import Stopwatch, alternate, median, stopwatch

GIVE_UP = 300.0
INDEXED_ROWS = 3_000
OURS, PACKED, BASE = "A' ours", "A' ours, base64", "C pgai alone"


@dataclass(frozen=True)
class Variant:
    """Who does the work: the table that is written, the store that fills, the workers, and how they embed."""

    table: str
    store: str
    kinds: tuple[str, ...]
    http: bool = False
    encoding: str = "float"
    index: bool = False


@dataclass(frozen=True)
class Setting:
    """What variants share, and the CPU seconds that each of their runs took."""

    database: Database
    rows: int
    server: EmbeddingServer
    busy: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def run(database: Database, *, quick: bool) -> list[Figure]:
    rows, rounds = (500, 2) if quick else (6_000, 3)
    with database.connect() as connection, embedding_server() as server:
        corpus.stage(connection, rows)
        corpus.clear(connection)
        setting = Setting(database, rows, server)
        with _vectorizers(connection) as (ours, theirs):
            figures = _measured(setting, _variants(connection, ours, theirs, quick), rounds, BASE)
            if not quick:
                connection.execute("DELETE FROM staged WHERE id > %s", [INDEXED_ROWS])
                setting = Setting(database, INDEXED_ROWS, server)
                figures += _measured(setting, _indexed(connection, theirs), rounds, f"{BASE}, vector index")
        corpus.clear(connection)
        store = _store(connection)
        connection.execute(f"DROP INDEX IF EXISTS {store}_hnsw")
        pgai_vectorizer.create_index(connection, store)
    return figures


def _measured(setting: Setting, variants: dict[str, Variant], rounds: int, base: str) -> list[Figure]:
    seconds = alternate(rounds, {name: partial(_measure, setting, name, variant) for name, variant in variants.items()})
    rates = {name: [setting.rows / one for one in values] for name, values in seconds.items()}
    per_cpu = {name: setting.rows / median(values) for name, values in setting.busy.items()}
    return [
        figure(
            "end-to-end",
            name,
            values,
            rows=setting.rows,
            unit="rows/s",
            against=base,
            ratio=ratio(values, rates[base]),
            target=f">= 2x of {BASE}" if name in (OURS, PACKED) else "",
            **{
                "ratio, middle half": middle(values, rates[base]),
                "rows per CPU second": per_cpu[name],
                "x of C": round(per_cpu[name] / per_cpu[base], 2),
            },
        )
        for name, values in rates.items()
    ]


@contextmanager
def _vectorizers(connection: psycopg.Connection[Any]) -> Iterator[tuple[int, int]]:
    row = connection.execute("SELECT vectorizer_id FROM pgknowbase_space WHERE is_active").fetchone()
    assert row is not None
    theirs = pgai_vectorizer.create(connection)
    try:
        yield int(row[0]), theirs
    finally:
        pgai_vectorizer.drop(connection, theirs)


def _variants(connection: psycopg.Connection[Any], ours: int, theirs: int, quick: bool) -> dict[str, Variant]:
    in_process = partial(Variant, "catalog_article", _store(connection))
    over_http = partial(in_process, http=True)
    pgai = partial(Variant, pgai_vectorizer.TABLE, pgai_vectorizer.STORE, http=True)
    found = {
        OURS: over_http(("ours",)),
        PACKED: over_http(("ours",), encoding="base64"),
        BASE: pgai((f"pgai {theirs}",)),
    }
    if not quick:
        found |= {
            "A' ours, 2 workers": over_http(("ours",) * 2),
            "A' ours, 4 workers": over_http(("ours",) * 4),
            "A ours, in process": in_process(("ours",)),
            "B our relay, pgai worker": over_http(("relay", f"pgai {ours}")),
            "C pgai alone, 2 workers": pgai((f"pgai {theirs}",) * 2),
        }
    return found


def _indexed(connection: psycopg.Connection[Any], theirs: int) -> dict[str, Variant]:
    """The same with a vector index, which costs either far more than all the rest."""
    ours = Variant("catalog_article", _store(connection), ("ours",), http=True, index=True)
    pgai = Variant(pgai_vectorizer.TABLE, pgai_vectorizer.STORE, (f"pgai {theirs}",), http=True, index=True)
    return {f"{OURS}, vector index": ours, f"{BASE}, vector index": pgai}


def _store(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT store_table FROM pgknowbase_space WHERE is_active").fetchone()
    assert row is not None
    return str(row[0])


def _measure(setting: Setting, name: str, variant: Variant) -> float:
    """Seconds from the start of the INSERT until every row has its chunk in the store."""
    url = setting.server.url
    environment = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "unused"}
    if variant.http:
        environment |= {"PGKNOWBASE_BENCH_HTTP": url, "PGKNOWBASE_BENCH_ENCODING": variant.encoding}
    with setting.database.connect() as connection:
        corpus.clear(connection)
        connection.execute(f"DROP INDEX IF EXISTS {variant.store}_hnsw")
        if variant.index:
            pgai_vectorizer.create_index(connection, variant.store)
        with backend(connection, environment), workers(list(variant.kinds), environment) as children:
            meter = Meter(connection)
            pids = [child.process.pid for child in children] + [setting.server.pid] * variant.http
            watch, before = Stopwatch(), meter.seconds(pids)
            with stopwatch(watch):
                corpus.load(connection, variant.table)
                for child in children:
                    child.say("go")
                _wait_for(connection, variant.store, setting.rows)
            setting.busy[name].append(meter.since(before, pids))
    return watch.seconds


def _wait_for(connection: psycopg.Connection[Any], store: str, rows: int) -> None:
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(store))
    deadline = time.monotonic() + GIVE_UP
    while (found := connection.execute(count).fetchone()) and found[0] < rows:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{store} holds {found[0]} chunks of {rows} after {GIVE_UP} s")
        time.sleep(0.03)
    assert found is not None
    assert found[0] == rows, f"{store} holds {found[0]} chunks of {rows}"


@contextmanager
def backend(connection: psycopg.Connection[Any], environment: Mapping[str, str]) -> Iterator[None]:
    """Our worker refuses a space of another backend than its settings name: the vectors are the same here."""
    if "PGKNOWBASE_BENCH_HTTP" not in environment:
        yield
        return
    row = connection.execute("SELECT backend FROM pgknowbase_space WHERE is_active").fetchone()
    change = "UPDATE pgknowbase_space SET backend = %s WHERE is_active"
    connection.execute(change, ["pgknowbase.embeddings.openai.OpenAIEmbedder"])
    try:
        yield
    finally:
        connection.execute(change, row)
