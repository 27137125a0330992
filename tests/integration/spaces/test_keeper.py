"""Vector indexes come from the workers: when a load is over, once, and again where a build was interrupted."""

import json
import time
from contextlib import contextmanager

import psycopg
import pytest
from django.test import override_settings

from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.models import WorkerHeartbeat
from pgknowbase.operations.doctor import storage
from pgknowbase.operations.doctor.findings import Severity
from pgknowbase.operations.status import index_status
from pgknowbase.spaces import keeper
from pgknowbase.spaces.indexes import IndexSpec, indexes
from pgknowbase.spaces.keeper import IndexKeeper
from pgknowbase.worker.heartbeat import Heartbeat
from tests.integration.spaces.conftest import project, run, space, sql, work
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)
ROLE = WorkerHeartbeat.Role.BOTH


@pytest.fixture(autouse=True)
def needed(monkeypatch):
    """Searches want a vector index of any number of chunks; and the keeper looks all the time."""
    monkeypatch.setattr(keeper, "LOOK_INTERVAL", 0.0)
    monkeypatch.setattr(keeper, "DUE_LOOK_INTERVAL", 0.0)
    monkeypatch.setattr(keeper, "RETRY_INTERVAL", 0.0)
    with override_settings(PGKNOWBASE=project(SEARCH={"EXACT_SEARCH_MAX_CHUNKS": 0})):
        yield


@contextmanager
def keeping(**options):
    with Heartbeat("default", ROLE, lambda: (0, 0, 0)) as heartbeat:
        kept = IndexKeeper("default", heartbeat.worker, **options)
        try:
            yield kept
        finally:
            kept.stop()


def valid():
    return [(one.name, one.valid) for one in indexes("default")]


def wait_for(condition, kept):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, valid()
        kept.run_if_due()
        time.sleep(0.02)


def fill(rows=150):
    """Chunks in the store, and no vector index."""
    Note.notes.bulk_create([Note(text=f"note {n}") for n in range(rows)])
    with override_settings(PGKNOWBASE=project(SEARCH={})):
        work()
    assert valid() == []
    return IndexSpec(space()).name


def searched():
    """The plan of a search for 100 objects, and the five best: a walk for five passes one over now and then."""
    vector = sql("SELECT embedding::text FROM pgknowbase_chunk ORDER BY id LIMIT 1")[0][0]
    rows = sql(
        "SELECT s.similarity, current_setting('pgknowbase.search_plan') FROM pgknowbase_search_dense_v1("
        "%s, 100, pgknowbase_filter_v1(threshold => -1), exact_search_max_chunks => 0, record_plan => true) AS s",
        [vector],
    )
    return json.loads(rows[0][1])["plan"], [round(similarity, 6) for similarity, _ in rows[:5]]


def test_searches_compare_every_chunk_until_there_is_an_index():
    name = fill()
    assert index_status("default").space.vector_index == "missing"
    plan, before = searched()
    assert plan == "exact_unindexed"
    with keeping() as kept:
        wait_for(lambda: valid() == [(name, True)], kept)
    assert searched() == ("walk", before)
    assert index_status("default").space.vector_index == "valid"


def test_worker_that_ends_builds_it_before():
    Note.notes.create(text="gears")
    work()
    assert valid() == [(IndexSpec(space()).name, True)]


def test_none_where_searches_compare_every_chunk_anyway():
    fill()
    with override_settings(PGKNOWBASE=project(SEARCH={})), keeping() as kept:
        for _ in range(5):
            kept.run_if_due()
        assert kept._build is None
    assert index_status("default").space.vector_index == "missing"
    with override_settings(PGKNOWBASE=project(SEARCH={})):
        assert index_status("default").space.vector_index == "not needed"


def test_load_is_waited_for_but_not_for_ever(monkeypatch):
    name = fill()
    sql(
        "INSERT INTO pgknowbase_document (source, id, title, content)"
        " SELECT 0, n::text, '', 'document ' || n FROM generate_series(1, 150) AS n"
    )
    with keeping() as kept:
        for _ in range(5):
            kept.run_if_due()
        assert kept._build is None
        (finding,) = [one for one in storage.spaces("default") if one.id == "index.missing"]
        assert finding.severity is Severity.INFO
        assert "a worker builds it" in finding.what
        monkeypatch.setattr(keeper, "MAX_WAIT", -1.0)
        wait_for(lambda: valid() == [(name, True)], kept)
    assert not [one for one in storage.spaces("default") if one.id == "index.missing"]


@pytest.mark.parametrize(
    ("size_at", "due_at"),
    [
        (lambda now: 100 + now, 50 * 60),  # at the same rate: by a quarter of what was there in the fifth ten minutes
        (lambda now: 20_000 + now, 10 * 60),  # slowly, beside what was there
        (lambda now: 1000 + min(now, 1200), 30 * 60),  # and stops while much waits
    ],
)
def test_load_is_waited_for_as_long_as_it_adds_much(size_at, due_at):
    missing = keeper._Missing(size_at(0), 0, size_at(0))
    assert next(now for now in range(2, 86_400, 2) if missing.look(now, size_at(now), True)) // 60 * 60 == due_at


def test_oldest_worker_alone_builds():
    name = fill()
    with keeping() as oldest, keeping() as other:
        for _ in range(5):
            other.run_if_due()
        assert (other._build, valid()) == (None, [])
        wait_for(lambda: valid() == [(name, True)], oldest)


def test_what_an_interrupted_build_has_left_is_built_again():
    name = fill()
    run("pgknowbase_space", "index")
    run("pgknowbase_space", "index", model="blog.Note")
    partial = {one.name for one in indexes("default")} - {name}
    assert len(partial) == 1
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY(%s::regclass[])", [[name, *partial]])
    assert searched()[0] == "exact_unindexed"
    with keeping(has_connection=False) as kept:
        wait_for(lambda: sorted(valid()) == sorted((one, True) for one in (name, *partial)), kept)


def building():
    return bool(sql("SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()"))


def test_nobody_begins_beside_a_build_and_one_that_is_stopped_leaves_nothing():
    name = fill()
    with psycopg.connect(_conninfo("default")) as writer, keeping() as kept:
        writer.execute(f'LOCK TABLE "{space().store_table}" IN ROW EXCLUSIVE MODE')  # which a build waits for
        wait_for(building, kept)
        assert index_status("default").space.vector_index == "being built"
        with Heartbeat("default", ROLE, lambda: (0, 0, 0)) as later:
            sql("UPDATE pgknowbase_worker SET started_at = 'epoch' WHERE id = %s", [later.worker])
            second = IndexKeeper("default", later.worker)
            for _ in range(5):
                second.run_if_due()
            assert second._build is None
        kept.stop()  # though the writer holds up the drop too
    assert [one for _, one in valid()] == [False]
    with keeping() as kept:
        wait_for(lambda: valid() == [(name, True)], kept)


def test_build_that_fails_is_told_and_tried_again(caplog):
    name = fill()
    sql(f'CREATE TABLE "{name}" ()')
    with keeping() as kept:
        wait_for(lambda: "was not built" in caplog.text, kept)
        assert f'relation "{name}" already exists' in caplog.text
        assert "pgknowbase_space index default" in caplog.text
        sql(f'DROP TABLE "{name}"')
        wait_for(lambda: valid() == [(name, True)], kept)
