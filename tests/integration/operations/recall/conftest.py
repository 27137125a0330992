"""A store of clustered vectors, once for all tests of this folder."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from pgknowbase.spaces.specification import active_space
from tests.projects.blog.models import Article, Note
from tests.vector_index import make_vector_index

CHUNKS = 10_000
# As benchmarks/vectors_data.sql: a vector is a centre and two pieces of noise, each drawn from a pool.
POOL = """
CREATE TEMP TABLE pool AS
SELECT kind, id, (
    SELECT array_agg((random() - 0.5) * scale + 0 * (d + id)) FROM generate_series(1, 256) AS d
)::vector(256) AS v
FROM (VALUES ('centre', 200, 1.0), ('a', 509, 0.9), ('b', 499, 0.9)) AS k (kind, size, scale),
    generate_series(0, size - 1) AS id
"""
CHUNK = """
INSERT INTO {store} (source, id, chunk_seq, chunk, embedding, tokens)
SELECT CASE WHEN i %% 4 = 0 THEN %s ELSE %s END, i::text, 0, 'text ' || i, l2_normalize(c.v + a.v + b.v), 1
FROM (
    SELECT i, floor(random() * 200)::int AS centre, floor(random() * 509)::int AS a, floor(random() * 499)::int AS b
    FROM generate_series(1, {chunks}) AS i
) AS d
JOIN pool AS c ON c.kind = 'centre' AND c.id = d.centre
JOIN pool AS a ON a.kind = 'a' AND a.id = d.a
JOIN pool AS b ON b.kind = 'b' AND b.id = d.b
"""
OBJECT = """
INSERT INTO pgknowbase_externaldata (
    source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public, is_active,
    similarity_threshold, status, error, attempts, chunk_count)
SELECT 'model', source, id, '', '', '',
    jsonb_build_object('half', id::int %% 2 = 1, 'number', id::int),
    CASE WHEN id::int %% 100 < 8 THEN ARRAY['few'] ELSE '{{}}' END, true, true, 0, 'completed', '', 0, 1
FROM {store}
"""


@pytest.fixture(scope="package")
def store(django_db_setup, django_db_blocker):
    """The name of the active store, filled with 10,000 vectors of two source models."""
    with django_db_blocker.unblock():
        space = active_space("default")
        note, article = (ContentType.objects.get_for_model(model).pk for model in (Note, Article))
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.42)")
            cursor.execute(POOL)
            cursor.execute(f"DROP INDEX IF EXISTS {space.store_table}_hnsw")
            cursor.execute(CHUNK.format(store=space.store_table, chunks=CHUNKS), [note, article])
            make_vector_index()
            cursor.execute(OBJECT.format(store=space.store_table) % ())
            cursor.execute(f"ANALYZE {space.store_table}")
            cursor.execute("ANALYZE pgknowbase_externaldata")
            cursor.execute("DROP TABLE pool")
        yield space.store_table
        with connection.cursor() as cursor:
            # Deleted vectors would stay in the index that later tests search.
            cursor.execute(f"TRUNCATE {space.store_table}")
            cursor.execute("DELETE FROM pgknowbase_externaldata")
