"""The vectors beside the external data, which filtered searches compare, are those of the store, whoever writes it."""

import threading

import psycopg
import pytest
from django.db import connection

from pgknowbase.core.migration_operations import _conninfo
from tests.integration.spaces.conftest import space, space_command, sql, work
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)
# Of each object: of which space the vectors beside it are, and whether they are those that the store has.
BESIDE = """
SELECT e.object_key, e.vectors_space, ARRAY(SELECT v::text FROM unnest(e.vectors) AS v ORDER BY 1)
    = ARRAY(SELECT c.embedding::halfvec::text FROM {store} AS c
        WHERE c.source = e.content_type_id AND c.id = e.object_key ORDER BY 1)
FROM pgknowbase_externaldata AS e
"""
RECOUNT = "SELECT pgknowbase_space_recount_v1(0, '', 1000)"


@pytest.fixture
def keys():
    """Three indexed objects, of which the second has several chunks."""
    texts = ["one text", "a longer text. " * 80, "another text"]
    articles = [Article.objects.create(title=f"article {n}", body=text) for n, text in enumerate(texts)]
    work()
    return [str(article.pk) for article in articles]


def beside(name="default"):
    """The objects with vectors beside them, which are to be those of the store of a space."""
    one = space(name)
    rows = sql(BESIDE.format(store=one.store_table))
    assert all(same for _, kept, same in rows if kept == one.pk)
    return {key for key, kept, _ in rows if kept == one.pk}


def nearest(key, name="default"):
    """What a filtered search and one in the store find nearest to the first chunk of an object, with similarities."""
    store = space(name).store_table
    vector = f"(SELECT embedding::halfvec FROM {store} WHERE id = '{key}' ORDER BY chunk_seq LIMIT 1)"
    found = sql(
        f"SELECT object_key, chunk_seq, chunk, similarity FROM pgknowbase_search_exact_v1({vector}, 10,"
        " pgknowbase_filter_v1(threshold => -1, metadata => '{}'))"
    )
    stored = sql(
        f"SELECT id, chunk_seq, chunk, 1 - distance FROM (SELECT DISTINCT ON (id) id, chunk_seq, chunk,"
        f" embedding::halfvec <=> {vector} AS distance FROM {store} ORDER BY id, distance, chunk_seq) AS s"
    )
    assert sorted(found) == sorted(stored)
    return [row[0] for row in found]


def test_whoever_writes_the_store_has_them_forgotten(keys):
    store = space().store_table
    first, second, third = keys
    assert beside() == {*keys}
    assert nearest(first)[0] == first
    sql(f"UPDATE {store} SET chunk_seq = chunk_seq + 10, reusable = false")
    assert beside() == {*keys}
    sql(f"UPDATE {store} SET embedding = (SELECT embedding FROM {store} WHERE id = %s) WHERE id = %s", [first, third])
    assert beside() == {first, second}
    assert nearest(third)[:2] == [first, third]
    sql(f"DELETE FROM {store} WHERE id = %s AND chunk_seq = 10", [second])
    assert beside() == {first}
    assert {*nearest(second)} == {*keys}
    sql(
        f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding)"
        f" SELECT source, id, 99, 'more', embedding FROM {store} WHERE id = %s",
        [first],
    )
    assert beside() == set()
    assert {*nearest(first)} == {*keys}
    # Completed by whoever comes: here as after another space was activated, and after pgai's own worker.
    sql(RECOUNT)
    assert beside() == {*keys}
    sql(f"UPDATE {store} SET id = 'nobody' WHERE id = %s", [third])
    assert beside() == {first, second}
    sql(f"UPDATE {store} SET id = %s WHERE id = 'nobody'", [third])
    sql("UPDATE pgknowbase_externaldata SET status = 'pending' WHERE object_key = %s", [third])
    assert sql("SELECT pgknowbase_mark_completed_v1()") == [(1,)]
    assert beside() == {*keys}
    sql(f"TRUNCATE {store}")
    assert beside() == set()
    assert sql("SELECT count(vectors) FROM pgknowbase_externaldata") == [(0,)]


def test_those_of_another_space_come_with_it(keys):
    space_command("add", "next")
    work()
    assert beside() == {*keys}  # a space that is filled beside touches nothing
    assert beside("next") == set()
    space_command("activate", "next", force=True)
    assert beside("next") == {*keys}
    assert sql("SELECT DISTINCT vector_dims(v) FROM pgknowbase_externaldata AS e, unnest(e.vectors) AS v") == [(64,)]
    sql(f"DELETE FROM {space('default').store_table}")
    assert beside("next") == {*keys}
    assert {*nearest(keys[0], "next")} == {*keys}


def test_an_object_of_many_chunks_is_compared_in_the_store(keys):
    Article.objects.filter(pk=keys[1]).update(body=" ".join(f"sentence {n} of a long text." for n in range(400)))
    work()
    assert sql("SELECT object_key FROM pgknowbase_externaldata WHERE vectors IS NULL") == [(keys[1],)]
    assert {*nearest(keys[1])} == {*keys}
    assert nearest(keys[1])[0] == keys[1]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("forgotten", [False, True])
def test_who_brings_them_together_waits_for_who_writes_the_store(keys, end, forgotten):
    store = space().store_table
    if forgotten:
        sql("UPDATE pgknowbase_externaldata SET vectors = NULL, vectors_space = NULL")
    else:
        sql("UPDATE pgknowbase_externaldata SET chunk_count = 7")  # so that there is something to tell
    with psycopg.connect(_conninfo("default")) as one, psycopg.connect(_conninfo("default")) as other:
        one.execute(f"DELETE FROM {store} WHERE id = %s AND chunk_seq = 1", [keys[1]])
        thread = threading.Thread(target=lambda: other.execute(RECOUNT))
        thread.start()
        with connection.cursor() as cursor:
            held = False
            while not held:
                assert thread.is_alive()
                cursor.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                    [other.info.backend_pid],
                )
                held = bool(cursor.fetchone())
        getattr(one, end)()
        thread.join()
        other.commit()
    assert beside() == {*keys}
