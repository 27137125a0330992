"""Top-10 queries over generated objects: latency, recall, throughput, bytes, growth, and what the manager adds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg

from benchmarks.database import Database
from benchmarks.report import Figure, figure, ratio
from benchmarks.stats import alternate, median, percentile, timed

SIZES = (10_000, 100_000)
QUERIES = 200
WORDS = ("read a compressed file", "retry after a timeout", "sort by value", "parse a date", "open a socket")
SCRIPTS = {
    "bare": ("bare", {}),
    "plain": ("plain", {}),
    "one source": ("one_source", {}),
    "cross-model": ("cross_model", {}),
    "filter passing 50 %": ("filtered", {"pass": "p50"}),
    "filter passing 10 %": ("filtered", {"pass": "p10"}),
    "filter passing 1 %": ("filtered", {"pass": "p1"}),
    "filter passing 0.1 %": ("filtered", {"pass": "p01"}),
    "filter passing 0.01 %": ("filtered", {"pass": "p001"}),
    "keyword": ("keyword", {}),
    "hybrid": ("hybrid", {}),
}


def run(database: Database, *, quick: bool, sizes: Sequence[int] = ()) -> list[Figure]:
    figures: list[Figure] = []
    for chunks in sizes or ((2_000,) if quick else SIZES):
        queries = 12 if quick else QUERIES
        exact = 4 if quick else 50 if chunks <= 100_000 else 12
        variables = {
            "chunks": chunks,
            "queries": queries,
            "exact": exact,
            "memory": "2GB" if chunks > 100_000 else "512MB",
        }
        database.psql("vectors.sql", variables)
        with database.connect() as connection:
            figures += _latencies(connection, chunks)
            figures += _bytes(connection, chunks)
            figures += _throughput(database, connection, chunks, queries, quick=quick)
            figures += _manager(connection, chunks, 20 if quick else 200)
        database.psql("vectors_clean.sql")
    return figures


def _latencies(connection: psycopg.Connection[Any], chunks: int) -> list[Figure]:
    found = connection.execute(
        "SELECT kind, queries, p50, p95, ratio, low, high, recall FROM pgknowbase_benchmark.summary ORDER BY place"
    ).fetchall()
    return [
        Figure(
            "vectors",
            kind,
            chunks,
            "ms",
            p50,
            low,
            high,
            queries,
            against="bare, ef_search 100",
            ratio=factor,
            target=_target(kind),
            more={"p95": p95, "recall@10": recall},
        )
        for kind, queries, p50, p95, factor, low, high, recall in found
    ]


def _target(kind: str) -> str:
    if kind == "plain":
        return "<= 1.15x of bare"
    if kind.startswith("keyword"):
        return "p50 < 50 ms, p95 < 200 ms"
    return "recall >= 0.99" if kind.startswith("filter") and kind.endswith("%") else ""


def _bytes(connection: psycopg.Connection[Any], chunks: int) -> list[Figure]:
    found = connection.execute("SELECT part, per_chunk FROM pgknowbase_benchmark.size ORDER BY place").fetchall()
    return [figure("vectors", part, [value], rows=chunks, unit="bytes/chunk") for part, value in found]


def _throughput(
    database: Database, connection: psycopg.Connection[Any], chunks: int, queries: int, *, quick: bool
) -> list[Figure]:
    row = connection.execute("SELECT store_table, dimensions FROM pgknowbase_space WHERE is_active").fetchone()
    assert row is not None
    base = {"queries": queries, "store": row[0], "dim": row[1]}
    figures = []
    for clients in (1,) if quick else (1, 2):
        cases: dict[str, Callable[[], float]] = {
            name: partial(
                database.pgbench,
                f"vectors_{script}.sql",
                clients=clients,
                seconds=1 if quick else 3,
                variables={**base, **more},
            )
            for name, (script, more) in SCRIPTS.items()
            if not quick or name in ("bare", "keyword")
        }
        rates = alternate(1 if quick else 2, cases)
        figures += [
            figure(
                "vectors",
                f"{name}, pgbench, {clients} client{'s'[: clients - 1]}",
                values,
                rows=chunks,
                unit="queries/s",
                against="bare",
                ratio=ratio(values, rates["bare"]),
            )
            for name, values in rates.items()
        ]
    return figures


def _manager(connection: psycopg.Connection[Any], chunks: int, samples: int) -> list[Figure]:
    """``Model.objects.semantic_search`` beside its SQL function called by psycopg, the query vector known to both."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection as django

    from benchmarks.catalog.models import Article

    ContentType.objects.get_for_model(Article)
    _adopt(connection)
    article = ContentType.objects.get_for_model(Article)
    vectors = {words: _vector(words) for words in WORDS}
    calls = iter(range(10**9))
    text = "SELECT * FROM pgknowbase_search_dense_v1(%s::halfvec, 10, pgknowbase_filter_v1(ARRAY[%s]))"

    def by_sql() -> float:
        vector = vectors[WORDS[next(calls) % len(WORDS)]]
        return timed(lambda: connection.execute(text, [vector, article.pk]).fetchall()) * 1000

    def by_manager() -> float:
        words = WORDS[next(calls) % len(WORDS)]
        return timed(lambda: list(Article.objects.semantic_search(words))) * 1000

    found = alternate(samples, {"SQL by psycopg": by_sql, "manager": by_manager})
    _give_back(connection)
    django.close()
    base = median(found["SQL by psycopg"])
    return [
        figure(
            "vectors",
            f"one source, {name}",
            values,
            rows=chunks,
            unit="ms",
            against="SQL",
            ratio=median(values) / base,
            target="<= 1.3x of SQL" if name == "manager" else "",
            p95=percentile(values, 95),
        )
        for name, values in found.items()
    ]


def _adopt(connection: psycopg.Connection[Any]) -> None:
    """Give the rows of the bigger generated source to the model ``Article``: the content types swap their names."""
    connection.execute("ALTER TABLE catalog_article DISABLE TRIGGER USER")
    connection.execute(
        "INSERT INTO catalog_article (id, title, body, views) SELECT object_key::bigint, title, title, 0"
        " FROM pgknowbase_externaldata JOIN pgknowbase_benchmark.source ON content_type_id = big"
    )
    connection.execute("ALTER TABLE catalog_article ENABLE TRIGGER USER")
    connection.execute("ANALYZE catalog_article")
    _rename(connection, ("catalog", "article"), ("aside", "article"))
    _rename(connection, ("pgknowbase_benchmark", "big"), ("catalog", "article"))


def _give_back(connection: psycopg.Connection[Any]) -> None:
    _rename(connection, ("catalog", "article"), ("pgknowbase_benchmark", "big"))
    _rename(connection, ("aside", "article"), ("catalog", "article"))
    connection.execute("TRUNCATE catalog_article")
    connection.execute("TRUNCATE pgknowbase_outbox")


def _rename(connection: psycopg.Connection[Any], old: tuple[str, str], new: tuple[str, str]) -> None:
    from django.contrib.contenttypes.models import ContentType

    connection.execute(
        "UPDATE django_content_type SET app_label = %s, model = %s WHERE app_label = %s AND model = %s", [*new, *old]
    )
    ContentType.objects.clear_cache()


def _vector(words: str) -> str:
    from pgknowbase.embeddings import get_embedder
    from pgknowbase.embeddings.query_vectors import literal, query_vector

    return literal(query_vector(get_embedder(), words))
