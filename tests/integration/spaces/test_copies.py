"""Many chunks with one vector: the vector index holds one of them, so they hide no others, and all are found."""

import json
import threading

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.operations.doctor.storage import copies as examine_copies
from pgknowbase.operations.drift import check, repair
from pgknowbase.sources.registry import source_of
from tests.integration.spaces.conftest import run, space, space_command, sql, work
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)
CLUSTERS, IN_CLUSTER, LETTERS, OTHERS = 60, 100, 1000, 500
# Clusters around directions that have something in common, and a form letter that lies between them all.
CENTRES = """
CREATE TEMP TABLE centre AS
WITH common AS MATERIALIZED (SELECT array_agg(random() - 0.5)::vector(64) AS v FROM generate_series(1, 64))
SELECT n, l2_normalize(l2_normalize(c.v) + l2_normalize(
    (SELECT array_agg(random() - 0.5 + 0 * (d + n)) FROM generate_series(1, 64) AS d)::vector(64))) AS v
FROM common AS c, generate_series(1, {clusters}) AS n
"""
VECTORS = """
CREATE TEMP TABLE filled AS
WITH near AS MATERIALIZED (
    SELECT l2_normalize(c.v + (SELECT array_agg(0.13 * (random() - 0.5) + 0 * (d + m + c.n)) FROM generate_series(1, 64)
        AS d)::vector(64)) AS v
    FROM centre AS c, generate_series(1, {in_cluster}) AS m
), all_of_them AS (
    SELECT v, 'near' AS kind FROM near
    UNION ALL SELECT (SELECT l2_normalize(avg(v)) FROM centre), 'letter' FROM generate_series(1, {letters})
    UNION ALL (SELECT v, 'near' FROM near ORDER BY random() LIMIT {others})
)
SELECT row_number() OVER (ORDER BY random()) AS n, v, kind FROM all_of_them
"""
OBJECTS = """
INSERT INTO pgknowbase_externaldata (
    source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public, is_active,
    similarity_threshold, status, error, attempts, chunk_count)
SELECT 'model', %s, n::text, '', '', '', jsonb_build_object('kind', kind, 'tenth', n %% 10 = 0), '{{}}', n %% 2 = 0,
    true, 0, 'completed', '', 0, 1
FROM filled ORDER BY random()
"""
CHUNKS = "INSERT INTO {store} (source, id, chunk_seq, chunk, embedding) SELECT %s, n::text, 0, kind, v FROM filled"
SEARCH = """
SELECT h.external_data_id, current_setting('pgknowbase.search_plan', true)
FROM pgknowbase_search_{function}_v1(%s::text::halfvec, %s, pgknowbase_filter_v1({filter}){options}) AS h
ORDER BY h.score DESC, h.external_data_id
"""


def source_id(model=Article):
    return ContentType.objects.get_for_model(model).pk


def fill(clusters=CLUSTERS, in_cluster=IN_CLUSTER, letters=LETTERS, others=OTHERS, **options):
    """An active space of 64 dimensions with such data and without a vector index; the name of its store."""
    space_command("add", "next", **options)
    store = space("next").store_table
    sizes = {"clusters": clusters, "in_cluster": in_cluster, "letters": letters, "others": others, "store": store}
    sql("SELECT setseed(0.42); DROP TABLE IF EXISTS centre, filled")
    for statement in (CENTRES, VECTORS):
        sql(statement.format(**sizes))
    for statement in (OBJECTS, CHUNKS):
        sql(statement.format(**sizes), [source_id()])
    sql(f"ANALYZE {store}; ANALYZE pgknowbase_externaldata")
    space_command("activate", "next", force=True)
    return store


def search(query, limit=10, function="dense", most=0, filters="threshold => -1", **options):
    """The external data ids that one of the two functions finds, in order, and what it noted."""
    if function == "dense":
        options = {"exact_search_max_chunks": most, "record_plan": True, **options}
    named = "".join(f", {name} => {value}" for name, value in options.items())
    rows = sql(SEARCH.format(function=function, filter=filters, options=named), [query, limit])
    return [row[0] for row in rows], json.loads(rows[0][1]) if rows and function == "dense" else {}


def recall(share=3):
    """Recall@10 of queries near some of the clusters, and how many of these queries find none of the right ones."""
    queries = [query for (query,) in sql("SELECT v::text FROM centre WHERE n %% %s = 0", [share])]
    shares = []
    for query in queries:
        best, (found, plan) = search(query, function="exact")[0], search(query, most=1000)
        assert plan["plan"] == "walk"
        shares.append(len({*best} & {*found}) / 10)
    return sum(shares) / len(shares), shares.count(0)


def letter():
    return sql("SELECT v::text FROM filled WHERE kind = 'letter' LIMIT 1")[0][0]


def flags(store, order="id"):
    return [is_copy for (is_copy,) in sql(f"SELECT is_copy FROM {store} ORDER BY {order}")]


def one_of_each(store):
    """Whether each vector of each source has exactly one chunk in the vector index."""
    return not sql(f"SELECT 1 FROM {store} GROUP BY vector_key HAVING count(*) FILTER (WHERE NOT is_copy) <> 1")


def test_form_letters_hide_nothing_and_the_doctor_names_an_index_where_they_do():
    store = fill()
    assert (len(flags(store)), sum(flags(store))) == (7_500, 1_499)
    assert one_of_each(store)
    # As an older index has it.
    sql(
        f"CREATE INDEX {store}_hnsw ON {store} USING hnsw ((embedding::halfvec(64)) halfvec_cosine_ops)"
        " WITH (m = 16, ef_construction = 200)"
    )
    before, lost = recall()
    assert before < 0.95
    assert lost > 0
    (finding,) = examine_copies("default")
    assert finding.id == "index.copies"
    assert "1,499 chunks have the vector of another one, up to 999 the same" in finding.what
    assert finding.fix == ("manage.py pgknowbase_space index next",)
    run("pgknowbase_space", "index", "next")
    assert list(examine_copies("default")) == []
    after, lost = recall()
    assert after >= 0.99
    assert lost == 0


@pytest.mark.parametrize("kind", ["halfvec", "binary"])
def test_each_copy_is_found_by_itself(kind):
    store = fill(20, 60, 300, 50, index=kind)
    space_command("index", "next", no_concurrently=True)
    query = letter()
    for filters in ("visible_to => ''", "threshold => 0.9", """metadata => '{"tenth": true}'"""):
        filters = f"threshold => -1, {filters}" if "threshold" not in filters else filters
        for skip, limit in ((0, 10), (10, 10), (145, 10)):
            exact, _ = search(query, limit, "exact", filters=filters, skip=skip)
            found, plan = search(query, limit, most=400, filters=filters, skip=skip)
            assert found == exact, (filters, skip, limit)
            assert plan["plan"].startswith("walk") or "tenth" in filters, plan
    exact, found = search(query, 400, "exact")[0], search(query, 400, most=400)[0]
    assert found[:300] == exact[:300]
    assert len({*exact} & {*found}) > 380
    (first, *_), _ = search(query)
    assert first not in search(query, exclude=first)[0]
    # The objects of another source have a chunk of their own in the index.
    run("pgknowbase_space", "index", "next", model="blog.Note")
    sql(
        f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding) SELECT %s, 'n' || n, 0, 'x', v FROM filled"
        " WHERE kind = 'letter' LIMIT 5",
        [source_id(Note)],
    )
    assert flags(f"{store} WHERE source = {source_id(Note)}") == [False, True, True, True, True]
    assert one_of_each(store)
    hits = sql("SELECT object_key FROM pgknowbase_space_search_v1(%s, %s::halfvec, 310)", [space("next").pk, query])
    assert len({key for (key,) in hits}) == 310


def test_copies_that_a_filter_leaves_out_do_not_make_a_walk_endless():
    fill(20, 20, 2000, 0, storage="halfvec")
    space_command("index", "next", no_concurrently=True)
    near = """threshold => -1, metadata => '{"kind": "near"}'"""
    found, plan = search(letter(), filters=near)
    assert (len(found), plan["plan"]) == (10, "walk")
    assert plan["walked"] >= 2000
    sql("SET hnsw.max_scan_tuples = 300")
    try:
        found, plan = search(letter(), filters=near)
    finally:
        sql("RESET hnsw.max_scan_tuples")
    assert (found, plan["plan"]) == (search(letter(), function="exact", filters=near)[0], "retried_exactly")
    assert plan["walked"] == 320


# The triggers of a store


@pytest.fixture
def store():
    return space().store_table


def put(store, **vectors):
    """Write chunks in one statement: each object's vector points in the direction of its number."""
    sql(
        f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding) SELECT %s, t.id, 0, 'text', {VECTOR}"
        " FROM unnest(%s::text[], %s::int[]) AS t (id, direction)",
        [source_id(), list(vectors), list(vectors.values())],
    )


VECTOR = """(
    SELECT array_agg(CASE d WHEN direction THEN 1 ELSE 0 END ORDER BY d) FROM generate_series(1, 256) AS d)::vector"""


def marked(store):
    return dict(sql(f"SELECT id, is_copy FROM {store}"))


def test_one_of_each_vector_is_no_copy_whatever_is_written(store):
    put(store, a=1, b=1, c=2)
    put(store, d=1, e=3)
    assert marked(store) == {"a": False, "b": True, "c": False, "d": True, "e": False}
    sql(f"UPDATE {store} SET chunk_seq = 7, reusable = false")
    assert marked(store) == {"a": False, "b": True, "c": False, "d": True, "e": False}
    sql(f"DELETE FROM {store} WHERE id = 'a'")
    assert sum(marked(store).values()) == 1
    assert one_of_each(store)
    # Another vector of one that the index holds, of a copy, and of all at once.
    sql(f"UPDATE {store} SET embedding = (SELECT embedding FROM {store} WHERE id = 'e') WHERE NOT is_copy")
    assert one_of_each(store)
    sql(f"UPDATE {store} SET embedding = (SELECT embedding FROM {store} WHERE id = 'e') WHERE is_copy")
    assert one_of_each(store)
    assert sum(marked(store).values()) == 2
    sql(f"UPDATE {store} AS s SET embedding = {VECTOR} FROM (VALUES (9)) AS t (direction)")
    assert one_of_each(store)
    sql(f"UPDATE {store} SET source = source + 1000 WHERE id IN ('b', 'c')")
    assert one_of_each(store)
    sql(f"DELETE FROM {store} WHERE id IN ('b', 'c')")
    sql(f"DELETE FROM {store}")
    put(store, a=1, b=1)
    sql(f"TRUNCATE {store}")
    put(store, a=1)
    assert marked(store) == {"a": False}


def test_vectors_that_the_index_cannot_tell_apart_are_copies(store):
    put(store, a=1)
    sql(
        f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding) SELECT source, 'b', 0, 'text',"
        f" embedding + (SELECT array_agg(0.00001 * CASE d WHEN 1 THEN 1 ELSE 0 END ORDER BY d)"
        f" FROM generate_series(1, 256) AS d)::vector FROM {store}"
    )
    assert marked(store) == {"a": False, "b": True}


# Two writers at once


@pytest.fixture
def others():
    """Two more connections, each with a transaction open."""
    with psycopg.connect(_conninfo("default")) as one, psycopg.connect(_conninfo("default")) as other:
        yield one, other


def insert(other, store, key):
    other.execute(
        f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding)"
        f" SELECT %s, %s, 0, 'text', {VECTOR} FROM (VALUES (1)) AS t (direction)",
        [source_id(), key],
    )


def delete(other, store, *keys):
    other.execute(f"DELETE FROM {store} WHERE id = ANY (%s)", [list(keys)])


def waiting(other, call):
    """Run ``call`` on a thread, until it waits for a lock that somebody else holds."""
    thread = threading.Thread(target=call)
    thread.start()
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", [other.info.backend_pid]
            )
            if cursor.fetchone():
                return thread
            assert thread.is_alive()


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_copy_comes_while_the_one_in_the_index_goes(store, others, end):
    one, other = others
    put(store, a=1)
    delete(one, store, "a")
    insert(other, store, "b")  # does not wait
    other.commit()
    getattr(one, end)()
    assert marked(store)["b"] is False
    assert not [fault for fault in examine_copies("default") if fault.id == "index.hidden"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_one_in_the_index_goes_while_a_copy_comes(store, others, end):
    one, other = others
    put(store, a=1)
    insert(one, store, "b")
    thread = waiting(other, lambda: delete(other, store, "a"))
    getattr(one, end)()
    thread.join()
    other.commit()
    assert marked(store) == ({"b": False} if end == "commit" else {})


@pytest.mark.parametrize("first", ["commit", "rollback"])
@pytest.mark.parametrize("second", ["commit", "rollback"])
def test_copies_and_the_one_in_the_index_go_at_once(store, others, first, second):
    one, other = others
    put(store, a=1, b=1, c=1)
    delete(one, store, "b", "c")
    thread = waiting(other, lambda: delete(other, store, "a"))
    getattr(one, first)()
    thread.join()
    getattr(other, second)()
    assert one_of_each(store)
    assert len(marked(store)) == (0 if first == "commit" else 2) + (0 if second == "commit" else 1)


@pytest.mark.parametrize("first", ["commit", "rollback"])
@pytest.mark.parametrize("second", ["commit", "rollback"])
def test_both_of_two_in_the_index_go_at_once(store, others, first, second):
    one, other = others
    insert(one, store, "a")
    insert(other, store, "b")  # does not see the first
    one.commit()
    other.commit()
    put(store, c=1, d=1)
    assert marked(store) == {"a": False, "b": False, "c": True, "d": True}
    delete(one, store, "a")  # keeps the other
    thread = waiting(other, lambda: delete(other, store, "b"))
    getattr(one, first)()
    thread.join()
    getattr(other, second)()
    left = marked(store)
    assert len(left) == 2 + (first == "rollback") + (second == "rollback")
    assert list(left.values()).count(False) == (2 if first == second == "rollback" else 1)


def test_another_copy_than_one_that_goes_is_taken(store, others):
    one, other = others
    put(store, a=1, b=1, c=1)
    delete(one, store, "b")
    delete(other, store, "a")  # does not wait
    other.commit()
    one.commit()
    assert marked(store) == {"c": False}


def test_transactions_that_wait_for_each_other_are_ended_by_postgres(store, others):
    put(store, a=1, b=2)
    put(store, c=2, d=1)
    for other, key in zip(others, "dc", strict=True):
        delete(other, store, key)
    ended = []

    def finish(other, key):
        try:
            delete(other, store, key)
            other.commit()
        except psycopg.errors.DeadlockDetected:
            other.rollback()
            ended.append(other)

    thread = waiting(others[0], lambda: finish(others[0], "b"))
    finish(others[1], "a")
    thread.join()
    assert len(ended) == 1
    assert marked(store) in ({"a": False, "c": False}, {"b": False, "d": False})


# What the triggers did not see


def test_hidden_copies_are_found_and_repaired(store):
    put(store, a=1, b=1, c=1, d=2)
    sql(f"ALTER TABLE {store} DISABLE TRIGGER USER")
    sql(f"DELETE FROM {store} WHERE id = 'a'")
    sql(f"ALTER TABLE {store} ENABLE TRIGGER USER")
    (finding,) = examine_copies("default")
    assert (finding.id, finding.severity) == ("index.hidden", "error")
    assert finding.what.startswith("1 vectors of the space 'default'")
    source = source_of(Article)
    details = {one.object_key: one.detail for one in check(source, "default").examples}
    assert details["(copies)"] == "1 vectors that the vector index does not hold"
    # A repair of the model deletes these chunks, as they have no documents; so only what the doctor says.
    sql(finding.fix[0])
    assert one_of_each(store)
    assert "(copies)" not in {one.object_key for one in check(source, "default").examples}


def test_repair_of_a_model_shows_hidden_copies(store):
    made = [Article.objects.create(title="letter", body="Dear reader.") for _ in range(4)]
    work()
    assert sum(marked(store).values()) == 3
    sql(f"UPDATE {store} SET is_copy = true")
    source = source_of(Article)
    (found,) = repair(source, "default").examples
    assert found.object_key == "(copies)"
    assert check(source, "default").total == 0
    assert one_of_each(store)
    assert len(made) == len(marked(store))
