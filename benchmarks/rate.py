"""The rate of a provider that keeps OpenAI's published limits, scaled down: how much of it workers use, and how many
calls are answered 429. Nobody tells the workers the limits: they are in the headers of the answers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks import corpus
from benchmarks.database import Database
from benchmarks.end_to_end import backend
from benchmarks.processes import workers
from benchmarks.report import Figure, figure
from pgknowbase.testing.provider import FaultyProvider
from pgknowbase.testing.quota import Quota

# Tier 1 of text-embedding-3-small has 3,000 requests and 1,000,000 tokens a minute.
SCALE = 1 / 8
REQUESTS, TOKENS = 3_000 * SCALE, 1_000_000 * SCALE
ANSWER_SECONDS = 0.1
# The first answers, while each worker starts, are not measured.
WARM_SECONDS = 10.0
# Texts of one call: by the first the tokens are used up first, by the second the requests.
KINDS = {"tokens": 256, "requests": 1}


def run(database: Database, *, quick: bool) -> list[Figure]:
    seconds, counts = (20.0, (1, 2)) if quick else (60.0, (1, 2, 4))
    figures = []
    with database.connect() as connection:
        for unit, max_texts in KINDS.items():
            for count in counts:
                corpus.stage(connection, 12_000)
                corpus.clear(connection)
                share, refused = _measure(database, unit, max_texts, count, seconds)
                figures.append(
                    figure(
                        "rate",
                        f"{unit}, {count} workers",
                        [100 * share],
                        rows=12_000,
                        unit="% of the limit",
                        target=">= 95 %",
                        **{"% of calls answered 429": round(100 * refused, 3)},
                    )
                )
        corpus.clear(connection)
    return figures


def _measure(database: Database, unit: str, max_texts: int, count: int, seconds: float) -> tuple[float, float]:
    """The share of the permitted rate that was used, and the share of calls that were refused."""
    with _provider() as (provider, quota):
        environment = {
            "PGKNOWBASE_BENCH_HTTP": provider.url,
            "PGKNOWBASE_BENCH_ENCODING": "base64",
            "PGKNOWBASE_BENCH_MAX_TEXTS": str(max_texts),
            "PGKNOWBASE_BENCH_CONCURRENCY": "4",
        }
        with database.connect() as connection, backend(connection, environment):
            connection.execute("DELETE FROM pgknowbase_provider_rate")
            connection.execute("DELETE FROM pgknowbase_provider_outage")
            with workers(["ours"] * count, environment) as children:
                corpus.load(connection, "catalog_article")
                for child in children:
                    child.say("go")
                time.sleep(WARM_SECONDS)
                before, began = replace(provider.books), time.monotonic()
                time.sleep(seconds)
                after, elapsed = replace(provider.books), time.monotonic() - began
    if unit == "tokens":
        used, permitted = after.tokens - before.tokens, TOKENS * elapsed / 60
    else:
        used, permitted = after.calls - before.calls, REQUESTS * elapsed / 60
    return used / permitted, quota.throttled / (quota.throttled + after.calls)


@contextmanager
def _provider() -> Iterator[tuple[FaultyProvider, Quota]]:
    quota = Quota(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS)
    with FaultyProvider(model="wordllama-256", dimensions=256, quota=quota, seconds=ANSWER_SECONDS) as provider:
        yield provider, quota
