"""Vector indexes: built, rebuilt where invalid or other parameters are asked for, and used."""

import json
import threading
import time

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import transaction

from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.spaces.indexes import IndexSpec, build_index, indexes
from tests.integration.spaces.conftest import run, space, space_command, sql, work
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


def listed():
    return {(one["space"], one["model"]): one for one in json.loads(run("pgknowbase_space", "indexes", format="json"))}


def test_filled_space_gets_its_index_afterwards():
    Article.objects.create(title="a", body="b")
    work()
    space_command("add", "next")
    assert ("next", "all") not in listed()
    space_command("fill", "next", here=True)
    assert listed()["next", "all"]["valid"] is True
    assert "already" in run("pgknowbase_space", "index", "next")


def test_other_parameters_and_invalid_ones_are_built_anew():
    work()
    assert ": built" in run("pgknowbase_space", "index")
    assert "already" in run("pgknowbase_space", "index")
    assert ": built" in run("pgknowbase_space", "index", m=8, ef_construction=32)
    found = listed()["default", "all"]
    assert (found["m"], found["ef_construction"], found["valid"]) == (8, 32, True)
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [found["index"]])
    assert listed()["default", "all"]["valid"] is False
    assert ": built" in run("pgknowbase_space", "index", m=8, ef_construction=32, no_concurrently=True)
    assert listed()["default", "all"]["valid"] is True
    assert len(listed()) == 1


def rollback_when_dropping(writer):
    with psycopg.connect(_conninfo("default"), autocommit=True) as other:
        dropping = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DROP INDEX%'"
        while not other.execute(dropping).rowcount:
            time.sleep(0.05)
    writer.rollback()


def test_interrupted_build_leaves_nothing():
    Note.notes.bulk_create([Note(text=f"note {n}") for n in range(300)])
    work()
    assert build_index("default", IndexSpec(space()))
    spec = IndexSpec(space(), m=24)

    def interrupt(phase, done, total):
        raise KeyboardInterrupt

    with transaction.atomic(), pytest.raises(Exception, match="inside a transaction"):
        build_index("default", spec)
    with psycopg.connect(_conninfo("default")) as writer:
        writer.execute(f'LOCK TABLE "{space().store_table}" IN ROW EXCLUSIVE MODE')
        end = threading.Thread(target=rollback_when_dropping, args=[writer])
        end.start()
        with pytest.raises(KeyboardInterrupt):
            build_index("default", spec, interrupt)
        end.join()
    assert [(one.name, one.valid) for one in indexes("default")] == [(spec.name, True)]
    assert build_index("default", spec)
    assert indexes("default")[0].parameters == (24, 200)


def test_index_of_one_model_is_used_by_searches_of_it():
    Note.notes.bulk_create([Note(text=f"note {n}") for n in range(300)])
    Article.objects.bulk_create([Article(title=f"article {n}", body="b") for n in range(300)])
    work()
    assert ": built" in run("pgknowbase_space", "index")
    assert ": built" in run("pgknowbase_space", "index", model="blog.Note")
    found = listed()["default", "blog.note"]
    (source,) = {one.source for one in indexes("default") if one.source is not None}
    sql("ANALYZE")
    with transaction.atomic():
        sql("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = sql(
            f"EXPLAIN SELECT id FROM pgknowbase_chunk WHERE source = {source} AND NOT is_copy"
            f" ORDER BY embedding <=> (SELECT embedding FROM pgknowbase_chunk LIMIT 1) LIMIT 10"
        )
    assert found["index"] in str(plan)
    vector = sql("SELECT embedding::text FROM pgknowbase_chunk LIMIT 1")[0][0]

    def searched(sources):
        """The index that a search says it used, and how often the model's was read."""
        with transaction.atomic():
            search = "SELECT 1 FROM pgknowbase_search_dense_v1("
            search += "%s, 5, pgknowbase_filter_v1(%s, -1), exact_search_max_chunks => 0, record_plan => true)"
            assert len(sql(search, [vector, sources])) == 5
            noted = json.loads(sql("SELECT current_setting('pgknowbase.search_plan')")[0][0])["index"]
            sql("SELECT pg_stat_force_next_flush()")
        return noted, sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", [found["index"]])[0][0]

    _, before = searched(None)
    assert searched([source]) == (found["index"], before + 1)
    assert searched([source, 0]) == (None, before + 1)
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [found["index"]])
    assert searched([source]) == (None, before + 1)
    with pytest.raises(CommandError, match=r"'blog\.Nothing' is not a source model"):
        run("pgknowbase_space", "index", model="blog.Nothing")
