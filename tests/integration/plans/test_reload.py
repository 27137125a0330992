"""The nightly reload: TRUNCATE, and thousands of rows anew, beside a worker that has its plans from before."""

import itertools
from statistics import median

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from pgknowbase.core import gateway
from tests.integration.plans.blocks import forget_statistics, recorded
from tests.projects.blog.models import Note

BATCH = 500
# Rows of which the costs are measured: the last of them, where the tables are largest.
MEASURED = 3_000


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)


def write(source, rows, first=1):
    """Documents whose words are so many that those of a batch do not fit into the memory of a session."""
    sql(
        "INSERT INTO pgknowbase_document (source, id, title, content, language)"
        " SELECT %s, n::text, '', string_agg(md5(concat(n, m)), ' '), 'simple'"
        " FROM generate_series(%s, %s) AS n CROSS JOIN generate_series(1, 8) AS m GROUP BY n",
        *(source, first, first + rows - 1),
    )


def refresh(batches=None):
    for _ in itertools.count() if batches is None else range(batches):
        if not gateway.fetch_value("default", "keywords_refresh", max_documents=BATCH):
            break


def blocks_of_a_batch():
    """What most batches read; one in a hundred samples the common words besides."""
    counts = []
    while True:
        with recorded() as costs:
            if not gateway.fetch_value("default", "keywords_refresh", max_documents=BATCH):
                return median(counts)
        (cost,) = costs.values()
        counts.append(cost.blocks)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("rows", "plans"), [(6_000, "auto"), (6_000, "force_generic_plan"), (60_000, "auto")])
def test_words_of_a_reload_are_made_by_look_ups(no_autovacuum, session, rows, plans):
    source = ContentType.objects.get_for_model(Note).pk
    session()
    write(source, 3 * BATCH)
    refresh()
    sql("TRUNCATE pgknowbase_document")
    forget_statistics()
    sql("VACUUM pgknowbase_document, pgknowbase_keywords, pgknowbase_corpus")  # as autovacuum does it: they are empty
    session(plans)
    for key in range(7):
        write(source, 1, first=-key)
        refresh()
    write(source, rows)
    refresh((rows - MEASURED) // BATCH)
    reload = blocks_of_a_batch()

    sql("VACUUM ANALYZE pgknowbase_document, pgknowbase_keywords, pgknowbase_corpus")
    session()
    sql("UPDATE pgknowbase_document SET title = 'changed' WHERE id::integer > %s", rows - MEASURED)
    assert reload < 2 * blocks_of_a_batch()
