"""Indexes, spaces and search settings are broken one by one."""

import psycopg
import pytest
from django.db import transaction

from pgknowbase.models import OutboxEvent
from pgknowbase.operations.doctor import server
from pgknowbase.operations.doctor.findings import Severity
from pgknowbase.spaces.specification import active_space
from tests.integration.operations.doctor.conftest import findings, repair, sql, the, value
from tests.vector_index import make_vector_index

pytestmark = pytest.mark.usefixtures("healthy")


def test_index_whose_concurrent_build_failed(database_url):
    OutboxEvent.objects.create(source="blog.Article", op="T")
    OutboxEvent.objects.create(source="blog.Article", op="T")
    with psycopg.connect(database_url, autocommit=True) as other, pytest.raises(psycopg.errors.UniqueViolation):
        other.execute("CREATE UNIQUE INDEX CONCURRENTLY pgknowbase_outbox_mine ON pgknowbase_outbox (source)")
    finding = the("index.invalid")
    assert "pgknowbase_outbox_mine of pgknowbase_outbox" in finding.what
    OutboxEvent.objects.all().delete()
    repair(finding)
    assert findings("index.invalid") == []
    sql("DROP INDEX pgknowbase_outbox_mine")


@pytest.mark.parametrize("of", ["the store", "the queue"])
def test_invalid_index(of):
    space = active_space("default")
    table = space.store_table if of == "the store" else f"ai._vectorizer_q_{space.vectorizer_id}"
    marked = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = (SELECT indexrelid FROM pg_index WHERE indrelid"
    sql(f"{marked} = %s::regclass LIMIT 1)", table)
    finding = the("index.invalid")
    assert table in finding.what
    repair(finding)


def test_vector_index_is_missing(settings):
    space = active_space("default")
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}
    sql(
        "INSERT INTO pgknowbase_store_1 (source, id, chunk_seq, chunk, embedding) SELECT 0, 'x', 0, 'x',"
        " array_agg(1)::vector(256) FROM generate_series(1, 256)".replace("pgknowbase_store_1", space.store_table)
    )
    sql(f"DROP INDEX IF EXISTS {space.store_table}_hnsw")
    finding = the("index.missing")
    repair(finding)
    assert findings("index.missing") == []
    assert "hnsw" in value("SELECT pg_get_indexdef(%s::regclass)", f"{space.store_table}_hnsw")
    sql(f"DELETE FROM {space.store_table}")


def test_vector_index_of_another_kind():
    make_vector_index()
    sql("UPDATE pgknowbase_space SET index = 'binary'")
    finding = the("index.kind")
    assert "compare binary(256), so they do not use" in finding.what
    assert "_hnsw of halfvec(256)" in finding.what
    repair(finding)
    assert findings("index.kind") == []
    sql("UPDATE pgknowbase_space SET index = 'halfvec'")
    assert "_hnsw of binary(256)" in the("index.kind").what
    repair(the("index.kind"))


def test_store_of_another_type():
    sql("UPDATE pgknowbase_space SET storage = 'halfvec'")
    assert "stores halfvec, the column embedding" in the("space.storage").what
    sql("UPDATE pgknowbase_space SET storage = 'vector'")


def test_dimensions_of_settings_and_store(settings):
    space = active_space("default")
    assert space.dimensions == 256
    sql("UPDATE pgknowbase_space SET dimensions = 128")
    assert {finding.id for finding in findings() if finding.severity is Severity.ERROR} == {
        "pgknowbase.E020",
        "space.dimensions",
    }
    told = " ".join(finding.what for finding in findings("space.dimensions"))
    assert f"has 128 dimensions, the column embedding of {space.store_table} has 256" in told
    assert "has 128 dimensions, its pgai vectorizer has 256" in told
    sql("UPDATE pgknowbase_space SET dimensions = 256")


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("UPDATE pgknowbase_space SET is_active = false", "space.missing"),
        ("UPDATE pgknowbase_space SET vectorizer_id = 4711", "space.vectorizer"),
        ("UPDATE pgknowbase_space SET store_table = 'gone'", "space.store"),
    ],
)
def test_space_in_pieces(broken, kind):
    with transaction.atomic():
        sql(broken)
        assert the(kind).severity is Severity.ERROR
        transaction.set_rollback(True)


def test_ef_search_below_the_limit(settings):
    assert findings("search.ef_search") == []
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"MAX_LIMIT": 5000}}
    finding = the("search.ef_search")
    assert finding.severity is Severity.INFO
    assert "hnsw.ef_search is 1000, and a search may be asked for 5000 rows" in finding.what


def test_search_that_does_not_walk_on():
    definition = value("SELECT pg_get_functiondef('pgknowbase_search_dense_v1'::regproc)")
    sql("ALTER FUNCTION pgknowbase_search_dense_v1 RESET hnsw.iterative_scan")
    finding = the("search.iterative_scan")
    assert "100 chunks at most" in finding.what
    repair(finding)
    assert findings("search.iterative_scan") == []
    sql(definition)


# Versions


@pytest.mark.parametrize(
    ("version", "severity", "told"),
    [
        ("0.8.0", Severity.ERROR, ["CVE-2026-3172", "corrupt", "hnsw graph not repaired", "CVE-2026-18022"]),
        ("0.8.1", Severity.ERROR, ["CVE-2026-3172"]),
        ("0.8.2", Severity.ERROR, ["corrupt"]),
        ("0.8.3", Severity.WARNING, ["hnsw graph not repaired"]),
        ("0.8.4", Severity.INFO, ["CVE-2026-18022", "sparsevec"]),
        ("0.8.5", Severity.INFO, ["CVE-2026-18022", "sparsevec"]),
    ],
)
def test_pgvector_with_known_bugs(monkeypatch, version, severity, told):
    known = {"postgres": "17.4", "pgvector": version, "available": version}
    with monkeypatch.context() as patch:
        patch.setattr(server, "versions", lambda using: known)
        (finding,) = server.pgvector("default")
    assert (finding.id, finding.severity) == ("pgvector.bug", severity)
    assert all(word in finding.what for word in told)
    assert "postgresql-17-pgvector" in finding.fix[0]
    assert (len(finding.fix) == 3) is (version < "0.8.3")


@pytest.mark.parametrize("version", ["0.8.6", "0.8.10", "0.9.0", "1.0"])
def test_pgvector_without_known_bugs(version):
    assert server.known_bugs(version) == []


def test_extension_older_than_the_library():
    available = value("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    sql("UPDATE pg_extension SET extversion = '0.8.2' WHERE extname = 'vector'")
    finding = the("pgvector.update")
    assert f"The extension is pgvector 0.8.2, the library on the server is {available}." in finding.what
    repair(finding)
    assert value("SELECT extversion FROM pg_extension WHERE extname = 'vector'") == available


def test_other_pgai():
    before = value("SELECT version FROM ai.pgai_lib_version WHERE name = 'ai'")
    sql("UPDATE ai.pgai_lib_version SET version = '0.11.0' WHERE name = 'ai'")
    assert f"is of version 0.11.0, the installed package is {before}" in the("pgai.version").what
    sql("UPDATE ai.pgai_lib_version SET version = %s WHERE name = 'ai'", before)


def test_pgais_own_worker():
    assert the("pgai.worker").severity is Severity.INFO
    sql("SELECT ai._worker_start('0.12.1', interval '1 minute')")
    assert the("pgai.worker").severity is Severity.WARNING
    sql("UPDATE ai.vectorizer_worker_process SET last_heartbeat = now() - interval '1 hour'")
    assert the("pgai.worker").severity is Severity.INFO
    sql("DELETE FROM ai.vectorizer_worker_process")


def test_settings_are_examined_first(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SERCH": {}}
    (finding,) = findings()
    assert finding.id == "pgknowbase.E001"
    assert "SERCH: unknown key" in finding.what
    settings.PGKNOWBASE = {name: part for name, part in settings.PGKNOWBASE.items() if name != "SERCH"}
