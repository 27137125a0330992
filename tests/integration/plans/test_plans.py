"""No statement of a worker, a search, a command or the admin depends on what the planner believes of the tables.

The same work is done on tables of the same size: once after ANALYZE, and then where the planner knows nothing, or has
kept plans from when the tables were empty, or a tenth as large. Blocks and rows are counted, never seconds. Work that
grows with the square of the tables is hundreds of times dearer here; a scan in the place of a few look-ups is let pass.
"""

import threading

import pytest
from django.db import connection, connections

from pgknowbase.worker import Worker
from tests.integration.plans.blocks import forget_statistics, recorded
from tests.integration.plans.workload import fill, workload

SIZE = 600
FACTOR = 3
# Rows and blocks of some scans of all tables there are.
SLACK = 6 * SIZE


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def elsewhere(work):
    """Work in another session, so that the plans of this one stay as they are."""
    errors = []

    def run():
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def index(rows, start=0):
    fill(rows, start)
    Worker().run_until_idle()


def analysed(session):
    elsewhere(lambda: index(SIZE))
    sql("VACUUM ANALYZE")
    session()


def never_analysed(session):
    forget_statistics()
    elsewhere(lambda: index(SIZE))
    session()


def kept_from_empty_tables(session):
    forget_statistics()
    sql("VACUUM")  # as autovacuum does it: from then on Postgres believes that the tables are empty
    session("force_generic_plan")
    index(40)
    workload()
    elsewhere(lambda: index(SIZE, start=20_000_000))


def kept_from_a_tenth(session):
    elsewhere(lambda: index(SIZE // 10))
    sql("VACUUM ANALYZE")
    session("force_generic_plan")
    workload()
    elsewhere(lambda: index(SIZE - SIZE // 10, start=20_000_000))


EXPECTED = {}


def measured(state, session):
    state(session)
    with recorded() as costs:
        workload()
    return costs


@pytest.mark.django_db(transaction=True)
def test_costs_on_analysed_tables(no_autovacuum, session):
    """What the others are compared with."""
    EXPECTED.update(measured(analysed, session))
    names = " ".join(EXPECTED)
    for function in (
        *("outbox_claim", "apply", "remove", "fail", "keywords_refresh", "queue_claim", "store_open", "store_close"),
        *("mark_completed", "search_dense", "search_hybrid", "search_keyword", "similar", "search_pending", "compare"),
        *("index_keys", "chunk_state", "invalidate", "reaction_claim", "delivery_claim", "expansion_claim"),
    ):
        assert f"pgknowbase_{function}_v1" in names


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", [never_analysed, kept_from_empty_tables, kept_from_a_tenth])
def test_no_statement_reads_much_more(no_autovacuum, session, state):
    if not EXPECTED:
        pytest.fail("run the whole file: the first test of it measures what this one compares with")
    dearer = []
    for statement, cost in measured(state, session).items():
        known = EXPECTED.get(statement)
        rows, blocks = (known.rows, known.blocks) if known else (0, 0)
        if cost.rows > FACTOR * rows + SLACK or cost.blocks > FACTOR * blocks + SLACK:
            dearer.append(f"{cost.rows} rows for {rows}, {cost.blocks} blocks for {blocks}: {statement[:300]}")
    assert not dearer, "\n".join(dearer)
