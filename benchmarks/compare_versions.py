"""The SQL search functions of two versions, called alternately on the same contents.

``python -m benchmarks.compare_versions OLD_URL NEW_URL [--old-calls FILE]`` prints, for each block of
``search_calls.sql``, median and 95th percentile of both, and the median of the ratios of neighbouring calls. The calls
alternate, and the time is that of the server's process on the processor, so what else the machine does hardly counts.
The server must run on this machine.

How to make the two databases, on one server: migrate one with the old version and fill it with ``vectors_data.sql``;
``CREATE DATABASE new TEMPLATE old``; there replace the functions by those of the new version. So rows, indexes and
their graphs are the same to the byte. Where the tables have changed, fill both with ``vectors_data.sql`` of their
version: it draws the same texts and vectors. ``--old-calls``: the same blocks in the words of the old version's
signatures; those that it lacks are left out.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import psycopg
from psycopg.abc import Query

from benchmarks.cpu import own
from benchmarks.stats import median, percentile

CALLS = Path(__file__).with_name("search_calls.sql")
BLOCK = re.compile(r"^-- ([^\n]+) --\n(.*?)(?=^-- [^\n]+ --\n|\Z)", re.MULTILINE | re.DOTALL)
SAMPLE = """
    SELECT q.embedding::text, q.words, q.common, e.content_type_id, e.object_key
    FROM pgknowbase_benchmark.query AS q
    JOIN LATERAL (
        SELECT x.content_type_id, x.object_key FROM pgknowbase_externaldata AS x
        WHERE x.id > (SELECT min(id) FROM pgknowbase_externaldata) + 37 * q.id ORDER BY x.id LIMIT 1) AS e ON true
    ORDER BY q.id LIMIT %s
"""


def calls(path: Path) -> dict[str, str]:
    """The statements of a file of calls by name."""
    return {name: text.strip().removesuffix(";") for name, text in BLOCK.findall(path.read_text(encoding="utf-8"))}


def parameters(connection: psycopg.Connection[Any], queries: int) -> list[dict[str, Any]]:
    """What each query passes: a vector, words, an object, and the rows of a search with ``include_pending``."""
    found = connection.execute(SAMPLE, [queries]).fetchall()
    changed = [
        {"source": source, "record": {"object_key": key, "title": "", "content": words, "owner": {}, "metadata": {}}}
        for _, words, _, source, key in found[:20]
    ]
    return [
        {
            "vector": vector,
            "words": words,
            "common": common,
            "source": source,
            "key": key,
            "rendered": json.dumps(changed),
        }
        for vector, words, common, source, key in found
    ]


def run(connection: psycopg.Connection[Any], statement: str, given: dict[str, Any]) -> float:
    """Milliseconds of one call on the processor. Parameters are bound by the client, as Django does it."""
    server = psutil.Process(connection.info.backend_pid)
    with psycopg.ClientCursor(connection) as cursor:
        started = own(server)
        cursor.execute(cast(Query, statement), given).fetchall()
        return (own(server) - started) * 1000


def compare(
    old: str, new: str, old_calls: Path, *, only: str, queries: int, rounds: int
) -> Iterator[tuple[str, list[float]]]:
    """For each call: median and 95th percentile of old and of new in ms, the ratio of the pairs, and its quartiles."""
    before, after = calls(old_calls), calls(CALLS)
    with psycopg.connect(old, autocommit=True) as first, psycopg.connect(new, autocommit=True) as second:
        sample = parameters(first, queries)
        for name, statement in after.items():
            if not name.startswith(only) or name not in before:
                continue
            given = [one for one in sample if one["common"] or not name.endswith("common words alone")]
            for one in given[:10]:
                run(first, before[name], one), run(second, statement, one)
            pairs = []
            for number in range(rounds):
                for place, one in enumerate(given):
                    if (number + place) % 2:
                        later, earlier = run(second, statement, one), run(first, before[name], one)
                    else:
                        earlier, later = run(first, before[name], one), run(second, statement, one)
                    pairs.append((earlier, later))
            ratios = [later / earlier for earlier, later in pairs]
            both = [number for side in zip(*pairs, strict=True) for number in (median(side), percentile(side, 95))]
            yield name, [*both, median(ratios), percentile(ratios, 25), percentile(ratios, 75)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="URL of the database with the old version")
    parser.add_argument("new", help="URL of the database with the new version")
    parser.add_argument("--old-calls", type=Path, default=CALLS)
    parser.add_argument("--only", default="", help="the calls whose names begin so")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{'call':36} {'old ms':>8} {'p95':>8} {'new ms':>8} {'p95':>8} {'ratio':>6}  quartiles")
    compared = compare(
        given.old, given.new, given.old_calls, only=given.only, queries=given.queries, rounds=given.rounds
    )
    for name, (*both, ratio, low, high) in compared:
        print(f"{name:36}", *(f"{ms:8.2f}" for ms in both), f"{ratio:6.3f}  {low:.3f} to {high:.3f}", flush=True)


if __name__ == "__main__":
    main()
