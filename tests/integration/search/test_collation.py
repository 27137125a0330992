"""Texts and keys from columns of another collation than the database's, which no index of ours is of."""

import pytest
from django.db import connection

from pgknowbase.embeddings.query_vectors import literal
from tests.integration.plans.blocks import ROWS_READ
from tests.integration.search.conftest import QUERY, nearness
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db
ROWS = 300
VECTOR = f"'{literal(nearness(QUERY))}'::halfvec"
SEARCHES = [
    "pgknowbase_search_keyword_v1(a.words, 10)",
    f"pgknowbase_search_hybrid_v1(a.words, {VECTOR}, 10)",
    "pgknowbase_similar_v1(ARRAY[a.source], ARRAY[a.key], 10)",
    "pgknowbase_search_pending_v1(a.words, '[]', 10)",
    "pgknowbase_correct_v1(a.words)",
    "pgknowbase_facets_v1(ARRAY['model'], a.words)",
    "pgknowbase_snippets_v1(a.words, ARRAY[a.id], ARRAY[0])",
]


@pytest.fixture
def asked(index):
    """Two tables of one row with what is asked: ``asked_default`` and ``asked_c``."""
    Article.objects.bulk_create(Article(title=f"word{n}", body=f"gear near 0.{n:03}") for n in range(ROWS))
    index()
    with connection.cursor() as cursor:
        for name, collation in (("asked_default", "default"), ("asked_c", "C")):
            cursor.execute(
                f'CREATE TEMPORARY TABLE {name} (id bigint, source integer, key text COLLATE "{collation}",'
                f' words text COLLATE "{collation}") ON COMMIT DROP'
            )
            cursor.execute(
                f"INSERT INTO {name} SELECT id, content_type_id, object_key, 'word7 word13'"
                " FROM pgknowbase_externaldata ORDER BY id LIMIT 1"
            )


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.split("(")[0])
def test_searches_read_no_more(asked, search):
    def read(table):
        with connection.cursor() as cursor:
            cursor.execute(ROWS_READ)
            (before,) = cursor.fetchone()
            cursor.execute(f"SELECT h.* FROM {table} AS a CROSS JOIN LATERAL {search} AS h")
            found = cursor.fetchall()
            cursor.execute(ROWS_READ)
            return found, cursor.fetchone()[0] - before

    expected, rows = read("asked_default")
    found, more = read("asked_c")
    assert found == expected
    assert more < rows + ROWS // 2
