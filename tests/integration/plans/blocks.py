"""What each statement of a run reads: blocks, and rows of tables and indexes, whatever it does inside functions."""

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from django.db import connection

MEASURED = re.compile(r"\s*(?:--[^\n]*\s+)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
# Of the tables and indexes of this database, without the catalogs: what this session has read so far.
ROWS_READ = """
    SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid)), 0)
    FROM pg_class AS c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'i')
"""
LIST = re.compile(r"%s(?:, %s)+")
BLOCKS = ("Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Local Read Blocks", "Temp Read Blocks")


@dataclass
class Cost:
    """The dearest run of a statement."""

    blocks: int = 0
    rows: int = 0
    runs: int = 0
    params: object = None


@dataclass
class Recorder:
    """Runs each statement of Django's connection twice: first under EXPLAIN, rolled back, and then in earnest.

    Of one that runs over and over some runs are left out, once a prepared one would have the plan that it keeps.
    """

    costs: dict[str, Cost] = field(default_factory=dict)

    def __call__(self, execute, sql, params, many, context):
        if not many and MEASURED.match(sql):
            cost = self.costs.setdefault(LIST.sub("...", " ".join(sql.split())), Cost())
            cost.runs += 1
            if cost.runs <= 8 or cost.runs % 16 == 0:
                with suppress(psycopg.Error):  # what fails here fails in earnest as well
                    self.measure(cost, sql, params)
        return execute(sql, params, many, context)

    def measure(self, cost, sql, params):
        with rolled_back() as cursor:
            before = cursor.execute(ROWS_READ).fetchone()[0]
            (found,) = cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params).fetchone()
            rows = int(cursor.execute(ROWS_READ).fetchone()[0] - before)
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        blocks = sum(plan.get(key, 0) for key in BLOCKS)
        if rows >= cost.rows:
            cost.params = params
        cost.blocks, cost.rows = max(cost.blocks, blocks), max(cost.rows, rows)


@contextmanager
def rolled_back():
    """A cursor of which nothing remains, inside a transaction and outside."""
    cursor = connection.connection.cursor()
    begin, end = ("SAVEPOINT measured", "ROLLBACK TO measured") if connection.in_atomic_block else ("BEGIN", "ROLLBACK")
    cursor.execute(begin)
    try:
        yield cursor
    finally:
        cursor.execute(end)
        cursor.close()


@contextmanager
def recorded():
    """Measure what the connection runs."""
    recorder = Recorder()
    with connection.execute_wrapper(recorder):
        yield recorder.costs


def forget_statistics():
    """As on a server on which no ANALYZE has run yet. TRUNCATE alone leaves them where they are."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic AS s WHERE s.starelid >= 16384")
