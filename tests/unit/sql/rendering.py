"""The SQL files as complete statements, for linters.

``python -m tests.unit.sql.rendering DIRECTORY`` writes them there.
"""

import sys
from pathlib import Path

from pglast import parse_plpgsql, parse_sql, split

from pgknowbase.core.queries import all_queries, find_query

SQL = Path(__file__).resolve().parents[3] / "sql"
CAPTURE = "10_capture/capture_v1.sql"
BODIES = {
    "insert": "INSERT",
    "update": "UPDATE",
    "delete": "DELETE",
    "truncate": "TRUNCATE",
    "reaction_rows": "INSERT",
    "reaction_update": "UPDATE",
}
TRIGGERS = ("10_capture/", "70_reactions/")
SAMPLE = {
    "pgid": "pgtrigger_pgknowbase_sample_12345",
    "table": '"blog_article"',
    "hash": "0" * 40,
    "when": "AFTER",
    "source": "'blog.Article'",
    "path": "''",
    "distinct": "DISTINCT",
    "page_size": 100,
    "rekeyed": 'OLD."id" IS DISTINCT FROM NEW."id"',
    "old_key": 'OLD."id"::text',
    "new_key": 'NEW."id"::text',
    "old_rows_key": 'old_rows."id"::text',
    "new_rows_key": 'new_rows."id"::text',
    "reaction": "'blog.analyse'",
    "op": "I",
    "row_key": 'NEW."id"::text',
    "rows_key": 'new_rows."id"::text',
    "rows": "new_rows",
}
# A path that a linter trusts. The functions take the path of the session that migrates, which a project chooses.
PINNED = "SET search_path = pg_catalog, pg_temp"


def sql_files():
    """Relative paths of all SQL files."""
    return sorted(path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql"))


def rendered():
    """Pairs of a name and its SQL, those of queries.sql too; the capture trigger comes once for each operation."""
    for path in sql_files():
        text = (SQL / path).read_text(encoding="utf-8")
        if path == CAPTURE:
            for name, operation in BODIES.items():
                yield f"{path[:-4]}.{name}.sql", text.format(**_trigger(name, operation))
        elif path.startswith(TRIGGERS) and "pgknowbase_" not in path:
            if path.removesuffix("_v1.sql").rpartition("/")[2] not in BODIES:
                yield path, text.format(**SAMPLE)
        else:
            yield path, text
    yield from queries()


def queries():
    """Pairs of a name and SQL for the queries that Python runs, with Postgres's placeholders."""
    for query in all_queries().values():
        sql = query.sql
        if query.name == "hits_with_rows":
            sql = sql.format(search=find_query("search_dense").sql, row="SELECT c.source FROM pgknowbase_chunk AS c")
        sql = sql.replace("{rows}", "SELECT e.id FROM pgknowbase_externaldata AS e")
        yield f"queries/{query.name}.sql", sql.replace("%s", "$1").replace("%%", "%")


def _trigger(name, operation):
    rows = {"INSERT": "REFERENCING NEW TABLE AS new_rows", "DELETE": "REFERENCING OLD TABLE AS old_rows"}
    row = operation == "UPDATE"
    return SAMPLE | {
        "func": (SQL / f"{'70_reactions' if name.startswith('reaction') else '10_capture'}/{name}_v1.sql")
        .read_text(encoding="utf-8")
        .format(**SAMPLE),
        "operation": operation,
        "referencing": rows.get(operation, ""),
        "level": "ROW" if row else "STATEMENT",
        "condition": 'WHEN (OLD."title" IS DISTINCT FROM NEW."title")' if row else "",
    }


def check_syntax(sql):
    """Parse with Postgres's own parsers, PL/pgSQL bodies included; they raise ``pglast.parser.ParseError``."""
    for statement in split(sql):
        (parsed,) = parse_sql(statement)
        kind = type(parsed.stmt).__name__
        if kind == "DoStmt" or (kind == "CreateFunctionStmt" and "LANGUAGE plpgsql" in statement):
            parse_plpgsql(statement)


def write(directory):
    """All rendered files below ``directory``, with the search path in the place of ``FROM CURRENT``."""
    for path, sql in rendered():
        check_syntax(sql)
        target = Path(directory) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pinned = sql.replace("SET search_path FROM CURRENT", PINNED)
        target.write_text(f"{PINNED};\n{pinned}", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
