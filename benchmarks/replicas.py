"""Writes, each followed by a search that must see it, over two replicas that lag and die; and what a token costs.

``PGKNOWBASE_BENCH_PAIRS`` is how many there are.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks import corpus
from benchmarks.cpu import own
from benchmarks.database import OPTIONS, Database
from benchmarks.processes import workers
from benchmarks.report import Figure, figure
from benchmarks.stats import percentile
from pgknowbase.embedded import EmbeddedPostgres, database_config
from pgknowbase.embedded.process import find_postmaster

ROWS = 2000
BLOCK = 25  # searches; the kernel counts a process's time in hundredths of a second
NAMES = ("fresh", "pending", "stale", "from replicas", "paused", "cut", "killed")
THREADS = 8
SAID = 5000  # pairs, after each of which the counts so far are printed
PAIRS, QUICK_PAIRS = int(os.environ.get("PGKNOWBASE_BENCH_PAIRS", "10000")), 40
# Seconds that a replay is paused for, that pass between two pauses or cut connections, and between two servers killed.
PAUSES, BETWEEN, KILLS = (0.02, 0.3), (0.05, 0.4), (15.0, 25.0)


class Cost(NamedTuple):
    """Milliseconds of one search: by the clock, and of the processor, here and on the server."""

    clock: float
    processor: float


def run(database: Database, *, quick: bool) -> list[Figure]:
    rows, samples = (100, 20) if quick else (ROWS, 1500)
    with database.connect() as connection:
        corpus.stage(connection, rows)
        corpus.clear(connection)
        corpus.load(connection, "catalog_article")
    with workers(["ours"]) as (worker,), _replicas(database) as servers:
        worker.say("go")
        _indexed()
        without, with_token = _cost(servers, samples)
        with ExitStack() as stack:
            for trouble in (_lag, _cut) if quick else (_lag, _cut, _kill, partial(_checkpoint, database.url)):
                stack.enter_context(_beside(trouble, servers))
            counts, times = _pairs(QUICK_PAIRS if quick else PAIRS, rows)
    if counts["stale"] or counts["failed"]:
        raise RuntimeError(f"answers that are not what they say: {dict(counts)}")
    return [
        *_cost_figures("by the clock", [each.clock for each in without], [each.clock for each in with_token], rows),
        *_cost_figures(
            "processor time", [each.processor for each in without], [each.processor for each in with_token], rows
        ),
        figure(
            "replicas",
            f"{sum(counts[one] for one in ('fresh', 'pending'))} writes, each searched for",
            times,
            rows=rows,
            unit="ms",
            target="stale = 0",
            p99=percentile(times, 99),
            **{name: counts[name] for name in NAMES},
        ),
    ]


def _cost_figures(kind: str, without: list[float], with_token: list[float], rows: int) -> list[Figure]:
    case = f"search on a replica that has caught up, {kind}"
    more = [one - other for one, other in zip(with_token, without, strict=True)]
    return [
        figure("replicas", case, without, rows=rows, unit="ms"),
        figure("replicas", f"{case}, more with a token", more, rows=rows, unit="ms", target="p50 < 2 ms"),
    ]


@contextmanager
def _replicas(database: Database) -> Iterator[dict[str, EmbeddedPostgres]]:
    """Two replicas as aliases of the project, which searches read."""
    from django.conf import settings
    from django.db import connections, router

    place = Path(tempfile.mkdtemp(prefix="pgknowbase-bench-"))
    place.chmod(0o711)
    primary = EmbeddedPostgres(str(conninfo_to_dict(database.url)["host"]))
    servers = {
        f"replica_{number}": EmbeddedPostgres(place / str(number), options=OPTIONS, replica_of=primary)
        for number in range(2)
    }
    try:
        for name, server in servers.items():
            entry = database_config(server.start(), NAME=connections["default"].settings_dict["NAME"])
            connections.settings[name] = connections.configure_settings({"default": {}, name: entry})[name]
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": list(servers)}
        settings.DATABASE_ROUTERS = ["pgknowbase.replicas.ReplicaRouter"]
        vars(router).pop("routers", None)
        router._routers = None
        yield servers
    finally:
        connections.close_all()
        for server in servers.values():
            if postmaster := find_postmaster(server.data_dir):
                os.kill(postmaster.pid, signal.SIGQUIT)
            server.stop(force=True)
        shutil.rmtree(place, ignore_errors=True)


def _indexed() -> None:
    """Wait until the worker has done everything."""
    from benchmarks.catalog.models import Article

    for article in Article.objects.order_by("-pk")[:1]:
        article.wait_indexed(timeout=600)
    while Article.objects.without_external_data().exists():
        time.sleep(0.1)


def _cost(servers: dict[str, EmbeddedPostgres], samples: int) -> tuple[list[Cost], list[Cost]]:
    """The same searches without and with a token, in turn, in blocks of 25."""
    from django.db import connections

    from benchmarks.catalog.models import Article
    from pgknowbase.replicas import freshness_token

    token = freshness_token(*Article.objects.all()[:1])
    for _ in range(2 * len(servers)):
        list(Article.objects.keyword_search("file", fresh=token, fresh_timeout=30, if_stale="error"))
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for number in range(2 * max(1, samples // BLOCK)):
        alias = list(servers)[number // 2 % len(servers)]
        options: dict[str, Any] = {"fresh": token, "if_stale": "error"} if number % 2 else {}
        list(Article.objects.using(alias).keyword_search("file", **options))
        connection: Any = connections[alias].connection
        backend = psutil.Process(connection.info.backend_pid)
        before, used, started = own(backend), time.thread_time(), time.perf_counter()
        for _ in range(BLOCK):
            list(Article.objects.using(alias).keyword_search("file", **options))
        took, used = time.perf_counter() - started, time.thread_time() - used
        processor = used + own(backend) - before
        costs[number % 2].append(Cost(1000 * took / BLOCK, 1000 * processor / BLOCK))
    return costs


def _pairs(count: int, rows: int) -> tuple["Counter[str]", list[float]]:
    """Write a word that no row has, and search for it, in several threads; each has rows of its own."""
    from django.db import connections

    counts: Counter[str] = _counts
    counts.clear()
    times: list[float] = []
    lock = threading.Lock()

    def work(thread: int) -> None:
        mine = range(thread + 1, rows + 1, THREADS)
        for number in range(thread, count, THREADS):
            started = time.perf_counter()
            state, alias = _pair(mine[number // THREADS % len(mine)], f"xq{number}z")
            with lock:
                counts[state] += 1
                counts["from replicas"] += alias.startswith("replica")
                times.append((time.perf_counter() - started) * 1000)
                if len(times) % SAID == 0:
                    print(f"{len(times)} pairs: {dict(counts)}", file=sys.stderr, flush=True)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return counts, times


_counts: "Counter[str]" = Counter()


def _pair(key: int, word: str) -> tuple[str, str]:
    """What a search for what was just written says of itself, ``stale`` where it says too much, and where it ran."""
    from benchmarks.catalog.models import Article
    from pgknowbase.replicas import freshness_token

    Article.objects.filter(pk=key).update(body=f"The word is {word}.")
    token = freshness_token(Article(pk=key))
    found = Article.objects.keyword_search(word, fresh=token, fresh_timeout=10)
    try:
        keys = [article.pk for article in found]
    except Exception as error:  # noqa: BLE001 - counted, and the run fails
        print(f"{type(error).__name__}: {error}")
        return "failed", ""
    if found.freshness != "fresh":
        return str(found.freshness), found.db
    return "fresh" if keys == [key] else "stale", found.db


# Trouble


@contextmanager
def _beside(trouble: Callable[[dict[str, EmbeddedPostgres]], float], servers: Any) -> Iterator[None]:
    """Cause it again and again; it returns the seconds to wait before the next time."""
    ended = threading.Event()

    def cause() -> None:
        while not ended.wait(trouble(servers)):
            pass

    thread = threading.Thread(target=cause)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _on_one(servers: dict[str, EmbeddedPostgres], statement: str) -> None:
    server = random.choice(list(servers.values()))
    with suppress(Exception), psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


def _lag(servers: dict[str, EmbeddedPostgres]) -> float:
    """A replica replays nothing for a while."""
    server = random.choice(list(servers.values()))
    with suppress(Exception), psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        time.sleep(random.uniform(*PAUSES))
        connection.execute("SELECT pg_wal_replay_resume()")
        _counts["paused"] += 1
    return random.uniform(*BETWEEN)


def _cut(servers: dict[str, EmbeddedPostgres]) -> float:
    """All searches that run on a replica lose their connections."""
    _on_one(
        servers,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    _counts["cut"] += 1
    return 4 * random.uniform(*BETWEEN)


def _checkpoint(primary: str, servers: dict[str, EmbeddedPostgres]) -> float:
    """Keeps what a replica that died has to replay to half a minute; else recovery is most of what a long run does."""
    for url in (primary, *(server.url for server in servers.values())):
        with suppress(Exception), psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
    return 30.0


def _kill(servers: dict[str, EmbeddedPostgres]) -> float:
    """A replica dies, and starts anew."""
    time.sleep(random.uniform(*KILLS) / 4)
    server = random.choice(list(servers.values()))
    if postmaster := find_postmaster(server.data_dir):
        os.kill(postmaster.pid, signal.SIGKILL)
        time.sleep(1.0)
        server.start()
        _counts["killed"] += 1
    return random.uniform(*KILLS)
