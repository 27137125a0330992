"""From a database of pgai's to a project on it, as docs/coming-from-pgai.md tells it."""

import psycopg
import pytest
from psycopg import sql

from pgknowbase.core.pgai import install_catalog
from tests.integration.adoption.conftest import work_as_pgai
from tests.integration.migrations.databases import Database, unique, url
from tests.integration.migrations.lab import WORK, Lab

# Neither is a name that Django would have given.
TABLES = """
CREATE TABLE old_author (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE old_post (
    tenant integer, number integer, "Title" text, body text, published date NOT NULL,
    author_id integer REFERENCES old_author, PRIMARY KEY (tenant, number));
INSERT INTO old_author (name) VALUES ('Ann');
INSERT INTO old_post
SELECT n % 2, n, CASE WHEN n <> 3 THEN 'It''s {post} ' || n END, repeat('About subject ' || n || '. ', 30),
    '2026-03-01', 1
FROM generate_series(1, 6) AS n;
"""
VECTORIZER = """
SELECT ai.create_vectorizer(
    'old_post', name => 'old', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('wordllama-256', 256, base_url => '{url}'),
    chunking => ai.chunking_recursive_character_text_splitter(200, 40),
    formatting => ai.formatting_python_template(E'Title: ${{Title}} of $published\n$chunk'))
"""
SEARCH = """
from lab.models import OldPost
print([row.number for row in OldPost.objects.semantic_search("Subject 4 of the post", limit=1)])
"""


@pytest.fixture
def old(server):
    """A database with a vectorizer whose rows pgai has embedded."""
    name = unique("pgknowbase_pgai")
    with psycopg.connect(url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database = Database(name)
        install_catalog(url(name))
        with database.connect() as session:
            session.execute(TABLES)
            session.execute(VECTORIZER.format(url=server.url))
        work_as_pgai(url(name))
        yield database
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_from_a_database_of_pgai_to_a_project(old, server, tmp_path):
    lab = Lab.create(old, tmp_path, "")
    settings = tmp_path / "lab_settings.py"
    settings.write_text(settings.read_text() + "del PGKNOWBASE\n")
    assert "public.old_post" in lab("pgknowbase_adopt_pgai")
    told, _, code = lab("pgknowbase_adopt_pgai old").partition("# models.py\n")
    settings.write_text(settings.read_text() + told)
    lab.models.write_text(code)

    calls = server.calls
    adopt = "pgknowbase_adopt_pgai old --model lab.OldPost"
    printed = lab("makemigrations lab", "migrate -v0", f"{adopt} --dry-run", adopt)
    chunks = old.value("SELECT count(*) FROM old_post_embedding_store")
    assert printed.count(f"chunks: {chunks} kept, 0 present before, 0 to embed") == 2
    texts = "SELECT chunk FROM {} ORDER BY 1"
    assert old.rows(texts.format("pgknowbase_chunk")) == old.rows(texts.format("old_post_embedding_store"))
    assert server.calls == calls

    with old.connect() as session:
        session.execute("UPDATE old_post SET author_id = NULL WHERE number = 1")
        session.execute("""UPDATE old_post SET "Title" = 'New' WHERE number = 2""")
    assert "[4]" in lab(WORK, ["shell", "-c", SEARCH])
    assert old.value("SELECT count(*) FROM pgknowbase_document WHERE title = 'New of 2026-03-01'") == 1
    # The text by which a worker knows the model, the row that changed, and the query.
    assert server.calls == calls + 3
