"""Words know which server and configuration made them; those of another one are found meanwhile, and made anew."""

import os
import subprocess

import psycopg
import pytest

from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.worker import Worker
from tests.integration.keywords.conftest import refresh, sql
from tests.integration.migrations.databases import pg_program
from tests.processes import run

OTHERS = "SELECT language, documents FROM pgknowbase_words_of_others_v1()"


def found(query):
    return sorted(key for (key,) in sql("SELECT object_key FROM pgknowbase_bm25(%s, 10)", query))


def waiting():
    return [finding for finding in examine("default") if finding.id == "keywords.maker"]


def made_by_an_older_server(words):
    """The words of documents, by key, are what Postgres 15 made of them."""
    for key, older in words.items():
        sql("UPDATE pgknowbase_keywords SET maker = 'older', words = %s::tsvector WHERE id = %s", older, key)
    sql("DELETE FROM pgknowbase_corpus")
    sql(
        "INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)"
        " SELECT source, language, maker, count(*), sum(length) FROM pgknowbase_keywords GROUP BY 1, 2, 3"
    )


@pytest.mark.django_db
def test_stems_of_an_older_server_are_found_and_made_anew(put):
    put({"1": "aktuelle Lage", "2": "Michael und Israel", "4": "aktuelles Bild"}, "german")
    put({"3": "added an offing"})
    older = {"1": "'aktuell':1 'lag':2", "2": "'michael':1 'israel':3", "3": "'ad':1 'off':3"}
    made_by_an_older_server(older)
    for _ in range(2):
        assert found("aktuell") == found("aktuelle") == ["1", "4"]
        assert found("Israel") == found("Michael") == ["2"]
        assert found("added") == ["3"]
        assert found("aktiv") == []
        refresh()
    assert sql(OTHERS) == []
    assert sql("SELECT count(*) FROM pgknowbase_keywords WHERE maker = 'older'") == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_doctor_counts_what_waits_and_the_worker_leaves_nothing(put):
    put({"1": "aktuelle Lage", "2": "ein Haus"}, "german")
    put({"3": "a house"})
    assert waiting() == []
    made_by_an_older_server({"1": "'aktuell':1 'lag':2", "2": "'haus':2"})
    (finding,) = waiting()
    assert "2 documents" in finding.what
    Worker(relay_only=True).run_until_idle()
    assert waiting() == sql(OTHERS) == []
    assert sql("SELECT sum(documents)::int, sum(words)::int FROM pgknowbase_corpus") == [(3, 4)]


@pytest.mark.django_db
def test_an_altered_configuration_makes_its_words_stale(put):
    sql("CREATE TEXT SEARCH CONFIGURATION english2 (COPY = english)")
    put({"1": "running dogs"}, "english2")
    put({"2": "running dogs"})
    assert sql(OTHERS) == []
    sql("ALTER TEXT SEARCH CONFIGURATION english2 ALTER MAPPING REPLACE english_stem WITH simple")
    assert sql(OTHERS) == [("english2", 1)]
    assert found("running") == ["1", "2"]
    refresh()
    assert sql(OTHERS) == []
    assert sql("SELECT id, words::text FROM pgknowbase_keywords WHERE id = '1'") == [("1", "'dogs':2 'running':1")]


@pytest.mark.django_db
def test_an_altered_dictionary_makes_its_words_stale(put):
    sql("CREATE TEXT SEARCH DICTIONARY own (TEMPLATE = pg_catalog.simple)")
    sql("CREATE TEXT SEARCH CONFIGURATION own (COPY = pg_catalog.simple)")
    sql("ALTER TEXT SEARCH CONFIGURATION own ALTER MAPPING REPLACE simple WITH own")
    put({"1": "the dog"}, "own")
    sql("ALTER TEXT SEARCH DICTIONARY own (StopWords = english)")
    assert sql(OTHERS) == [("own", 1)]
    refresh()
    assert sql("SELECT words::text FROM pgknowbase_keywords") == [("'dog':2",)]


@pytest.mark.django_db
def test_a_configuration_that_is_gone_breaks_no_search(put):
    sql("CREATE TEXT SEARCH CONFIGURATION own (COPY = english)")
    put({"1": "running dogs"}, "own")
    sql("DROP TEXT SEARCH CONFIGURATION own")
    assert found("dogs") == ["1"]
    assert sql("SELECT object_key FROM pgknowbase_search_keyword_v1('dogs', 10)") == [("1",)]
    refresh()
    assert sql("SELECT language, words::text FROM pgknowbase_keywords") == [("simple", "'dogs':2 'running':1")]


@pytest.mark.django_db
def test_common_words_are_sampled_anew(put):
    put({str(n): "aktuell" for n in range(20)}, "german")
    sql("SELECT pgknowbase_word_sample(common => 10)")
    sql("UPDATE pgknowbase_keywords SET maker = 'older'")
    sql("UPDATE pgknowbase_corpus SET maker = 'older'")
    sql("UPDATE pgknowbase_word SET word = %s", "'older'")
    refresh()
    assert sql("SELECT word FROM pgknowbase_word WHERE word = %s", "'older'") == []


PUT = (
    "INSERT INTO pgknowbase_document (source, id, title, content, language) VALUES (%(type)s, '1', '',"
    " 'Die aktuelle Lage in Israel', 'german')"
)
DATA = (
    "INSERT INTO pgknowbase_externaldata (source_type, content_type_id, object_key, title, description, content_hash,"
    " metadata, tags, is_public, is_active, similarity_threshold, status, error, attempts, chunk_count)"
    " VALUES ('model', %(type)s, '1', '', '', '', '{}', '{}', true, true, 0.5, 'completed', '', 0, 0)"
)
QUERIES = ("aktuell", "aktuelle", "Israel", "Lage")


def hits(connection):
    statement = "SELECT array_agg(object_key) FROM pgknowbase_bm25(%s, 10)"
    return [connection.execute(statement, [query]).fetchone()[0] for query in QUERIES]


@pytest.mark.django_db(transaction=True)
def test_dump_of_postgres_16_restored_on_postgres_18_finds_the_same(place, database_url):
    """Its German stemmer is another one: what was 'aktuell' is 'aktull'."""
    options = {"fsync": "off", "shared_buffers": "16MB"}
    with EmbeddedPostgres(place / "pg", version=16, options=options) as old:
        environment = {**os.environ, "DATABASE_URL": old.url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        migration = run("-m", "django", "migrate", "-v", "0", env={**environment, "PYTHONPATH": ".:django_app"})
        assert migration.returncode == 0, migration.stderr
        with psycopg.connect(old.url, autocommit=True) as connection:
            (source,) = connection.execute("SELECT min(id) FROM django_content_type").fetchone()
            for statement in (PUT, DATA):
                connection.execute(statement, {"type": source})
            connection.execute("SELECT pgknowbase_keywords_refresh_v1(10)")
            assert hits(connection) == [["1"]] * len(QUERIES)
        dump = subprocess.run([pg_program("pg_dump"), old.url], capture_output=True, check=True).stdout
    with psycopg.connect(database_url, autocommit=True) as server:
        if server.info.server_version < 180000:
            pytest.skip("needs two servers with different stemmers")
        server.execute("CREATE DATABASE test_restored TEMPLATE template0")
    new = psycopg.conninfo.make_conninfo(database_url, dbname="test_restored")
    try:
        psql = [pg_program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", new]
        subprocess.run(psql, input=dump, capture_output=True, check=True)
        with psycopg.connect(new, autocommit=True) as connection:
            assert connection.execute("SELECT sum(documents) FROM pgknowbase_words_of_others_v1()").fetchone() == (1,)
            assert hits(connection) == [["1"]] * len(QUERIES)
            assert connection.execute("SELECT pgknowbase_keywords_refresh_v1(10)").fetchone() == (1,)
            assert hits(connection) == [["1"]] * len(QUERIES)
            words = connection.execute("SELECT words::text FROM pgknowbase_keywords").fetchone()[0]
            assert "'aktull'" in words
            assert connection.execute("SELECT pgknowbase_keywords_refresh_v1(10)").fetchone() == (0,)
    finally:
        with psycopg.connect(database_url, autocommit=True) as server:
            server.execute("DROP DATABASE test_restored WITH (FORCE)")
