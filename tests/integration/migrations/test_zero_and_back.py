"""migrate, migrate zero, migrate: nothing is left, nothing of others is taken, and the schema is the same again."""

import re

NO_MODELS = "tests.integration.migrations.no_models"
OURS = re.compile(r"pgknowbase|pgtrigger|\bai\b|pgai", re.IGNORECASE)
INSTALL_PGAI = (
    "import os; from pgknowbase.core.pgai import install_catalog; install_catalog(os.environ['DATABASE_URL'])"
)
SOMEBODY = """
CREATE TABLE somebody (id bigint PRIMARY KEY, body text);
SELECT ai.create_vectorizer(
    'somebody'::regclass, loading => ai.loading_column('body'), destination => ai.destination_table('somebody_store'),
    embedding => ai.embedding_openai('text-embedding-3-small', 768),
    chunking => ai.chunking_recursive_character_text_splitter(), scheduling => ai.scheduling_none());
"""


def test_zero_leaves_nothing_of_an_index_with_rows_and_back_is_the_same(migrated, database):
    before = migrated.dump()
    assert "CREATE FUNCTION public.pgknowbase_search_dense_v1" in before
    assert "CREATE TABLE public.pgknowbase_store_1" in before
    note = "INSERT INTO blog_note (id, text, hidden) VALUES (gen_random_uuid(), 'a note', false)"
    chunks = database.manage(
        *(["sql", note], "pgknowbase_worker --once -v0", ["sql", "SELECT count(*) FROM pgknowbase_chunk"]),
        *("migrate -v0 pgknowbase_agents zero", "migrate -v0 pgknowbase zero"),
    )
    assert "\n(1,)\n" in chunks
    left = database.dump()
    assert not [line for line in left.splitlines() if OURS.search(line)]
    assert "CREATE EXTENSION IF NOT EXISTS vector" in left
    database.manage("migrate -v0")
    assert database.dump() == before


def test_catalog_of_somebody_else_survives(make_database):
    database = make_database()
    with database.connect() as connection:
        connection.execute("CREATE EXTENSION vector")
    database.manage(["shell", "-c", INSTALL_PGAI], module=NO_MODELS)
    before = database.dump()
    assert "CREATE SCHEMA ai" in before
    database.manage("migrate -v0", "migrate pgknowbase_agents zero", "migrate pgknowbase zero", module=NO_MODELS)
    after = database.dump()
    assert after.count("CREATE FUNCTION ai.") == before.count("CREATE FUNCTION ai.")
    assert not re.search("pgknowbase|pgtrigger", after)


def test_vectorizer_of_somebody_else_survives(make_database, base):
    database = make_database(template=base.name)
    with database.connect() as connection:
        connection.execute(SOMEBODY)
    database.manage("migrate pgknowbase_agents zero", "migrate pgknowbase zero", module=NO_MODELS)
    assert database.rows("SELECT source_table FROM ai.vectorizer") == [("somebody",)]
    assert not database.rows("SELECT 1 FROM pg_class WHERE relname LIKE 'pgknowbase%%'")
