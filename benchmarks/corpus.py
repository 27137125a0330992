"""Real text that every machine has: the documentation inside Python's standard library, cut into documents."""

import ast
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

TABLES = ("catalog_article", "catalog_plainarticle", "catalog_pgaiarticle")
OTHER_TABLES = ("catalog_draft", "catalog_story", "catalog_author")
CHARACTERS = 500


@cache
def _text() -> str:
    parts = [path.read_text(encoding="utf-8", errors="ignore") for path in _files("pydoc_data/topics.py")]
    for path in _files("*.py", "*/*.py"):
        if "test" not in str(path) and "site-packages" not in path.parts:
            parts += _docstrings(path)
    return " ".join(" ".join(parts).replace("\\n", " ").replace("\x00", "").split())


def _files(*patterns: str) -> list[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    return sorted(path for pattern in patterns for path in library.glob(pattern))


def _docstrings(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def stage(connection: psycopg.Connection[Any], rows: int) -> None:
    """Fill the table ``staged`` with ``rows`` different documents of 500 characters."""
    text = _text()
    step = max(1, (len(text) - CHARACTERS) // rows)
    connection.execute("DROP TABLE IF EXISTS staged")
    connection.execute("CREATE TABLE staged (id bigint PRIMARY KEY, title text, body text)")
    with connection.cursor().copy("COPY staged FROM STDIN") as copy:
        for number in range(rows):
            body = text[number * step : number * step + CHARACTERS]
            copy.write_row((number + 1, f"Document {number + 1}", body))
    connection.execute("ANALYZE staged")


def load(connection: psycopg.Connection[Any], table: str) -> None:
    """One INSERT of all staged rows into ``table``, which must be empty."""
    connection.execute(
        sql.SQL("INSERT INTO {} (id, title, body, views) SELECT id, title, body, 0 FROM staged ORDER BY id").format(
            sql.Identifier(table)
        )
    )


def clear(connection: psycopg.Connection[Any]) -> None:
    """Empty the tables, the index and every queue."""
    tables = map(sql.Identifier, (*TABLES, *OTHER_TABLES))
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
    connection.execute("TRUNCATE pgknowbase_document, pgknowbase_externaldata")
    connection.execute("TRUNCATE pgknowbase_outbox, pgknowbase_expansion")
    found = connection.execute(
        """SELECT queue_schema, queue_table,
            config #>> '{destination,target_schema}', config #>> '{destination,target_table}'
        FROM ai.vectorizer"""
    )
    for queue_schema, queue, schema, store in found.fetchall():
        connection.execute(
            sql.SQL("TRUNCATE {}, {}").format(sql.Identifier(queue_schema, queue), sql.Identifier(schema, store))
        )
    connection.execute("CHECKPOINT")
