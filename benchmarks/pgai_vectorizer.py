"""pgai's own vectorizer, directly on a source table."""

from typing import Any

import psycopg

TABLE, STORE = "catalog_pgaiarticle", "catalog_pgaiarticle_store"


def create(connection: psycopg.Connection[Any]) -> int:
    """Create it with the chunking, the template, the batches and the vector index of our space; returns its id."""
    row = connection.execute(
        """SELECT ai.create_vectorizer(
            %s::regclass, name => 'benchmark_pgai', loading => ai.loading_column('body'),
            destination => ai.destination_table(target_table => %s, view_name => %s),
            embedding => ai.embedding_openai(model, dimensions),
            chunking => ai.chunking_recursive_character_text_splitter(chunk_size, chunk_overlap),
            formatting => ai.formatting_python_template(template),
            indexing => ai.indexing_none(), scheduling => ai.scheduling_none(),
            processing => ai.processing_default(batch_size => 200, concurrency => 1))
        FROM pgknowbase_space WHERE is_active""",
        [TABLE, STORE, f"{STORE}_view"],
    ).fetchone()
    assert row is not None
    return int(row[0])


def create_index(connection: psycopg.Connection[Any], store: str) -> None:
    """The vector index that an embedding space has."""
    connection.execute(
        f"CREATE INDEX {store}_hnsw ON {store} USING hnsw ((embedding::halfvec(256)) halfvec_cosine_ops)"
    )


def drop(connection: psycopg.Connection[Any], vectorizer: int) -> None:
    connection.execute("SELECT ai.drop_vectorizer(%s, drop_all => true)", [vectorizer])
