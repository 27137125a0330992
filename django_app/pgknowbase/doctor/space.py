"""The embedding spaces: vectorizer, store, vector index, and how far a search walks it."""

from collections.abc import Iterator
from typing import Any

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.doctor.findings import Finding, error, info, warning
from pgknowbase.recall.setting import current_ef_search, search_settings
from pgknowbase.sql_files import read_sql

REBUILD = "manage.py pgknowbase_space rebuild"


def spaces(using: str) -> Iterator[Finding]:
    """No active space, or one whose parts do not fit together."""
    rows = gateway.fetch_dicts(using, read_sql("10_doctor/spaces.sql"))
    if not any(row["is_active"] for row in rows):
        yield error(
            "space.missing", "No embedding space is active, so nothing can be found.", "manage.py migrate pgknowbase"
        )
    for row in rows:
        yield from _parts(row)
        yield from _vector_index(row)


def search(using: str) -> Iterator[Finding]:
    """A dense search that may be asked for more rows than one walk of the vector index gives."""
    largest = get_settings().search.max_limit
    made, walked = search_settings(using), current_ef_search(using, limit=largest)
    if made.get("hnsw.iterative_scan", "off") == "off":
        yield error(
            "search.iterative_scan",
            "The dense search does not walk the vector index on (hnsw.iterative_scan is off): it finds"
            f" {current_ef_search(using)} chunks at most, fewer where filters leave some out.",
            "ALTER FUNCTION pgknowbase_search_dense_v1 SET hnsw.iterative_scan = 'strict_order';",
        )
    elif walked < largest:
        yield info(
            "search.ef_search",
            f"hnsw.ef_search is {walked}, and a search may be asked for {largest} rows (SEARCH MAX_LIMIT). Past the"
            f" first {walked} chunks it walks the index on, and leaves out what then turns up nearer than what it has"
            " given: limits above get all their rows, but with less recall.",
            f"manage.py pgknowbase_recall --limit {largest}",
        )


def _parts(row: dict[str, Any]) -> Iterator[Finding]:
    name = row["name"]
    if row["store"] is None:
        yield error("space.store", f"The space {name!r} has lost its chunk store.", REBUILD)
    elif row["stored_dimensions"] != row["dimensions"]:
        yield error(
            "space.dimensions",
            f"The space {name!r} has {row['dimensions']} dimensions, the column embedding of {row['store']} has"
            f" {_dimensions(row['stored_dimensions'])}.",
            REBUILD,
        )
    if row["stored_as"] not in (None, row["storage"]):
        yield error(
            "space.storage",
            f"The space {name!r} stores {row['storage']}, the column embedding of {row['store']} is {row['stored_as']}:"
            " the worker cannot write it.",
            REBUILD,
        )
    if not row["has_vectorizer"]:
        yield error(
            "space.vectorizer", f"The space {name!r} has lost its pgai vectorizer: nothing is embedded.", REBUILD
        )
    elif row["vectorizer_dimensions"] not in (None, row["dimensions"]):
        yield error(
            "space.dimensions",
            f"The space {name!r} has {row['dimensions']} dimensions, its pgai vectorizer has"
            f" {row['vectorizer_dimensions']}.",
            REBUILD,
        )


def _vector_index(row: dict[str, Any]) -> Iterator[Finding]:
    """Small stores are compared chunk by chunk; the sizes are those by which the dense search decides."""
    large = row["bytes"] > get_settings().search.exact_below * row["chunk_bytes"]
    if large and not row["has_index"]:
        yield (error if row["is_active"] else warning)(
            "index.missing",
            f"The chunk store {row['store']} has {row['bytes'] / 1e6:,.0f} MB and no vector index: searches read all.",
            f"CREATE INDEX CONCURRENTLY {row['index_name']} ON {row['store']} USING hnsw ({row['index_column']});",
        )
    if row["unused"] and row["stored_dimensions"] == row["dimensions"]:
        yield warning(
            "index.kind",
            f"Searches of the space {row['name']!r} compare {row['index']}({row['dimensions']}), so they do not use"
            f" {', '.join(row['unused'])}: it is maintained in vain.",
            f"manage.py pgknowbase_index build --space {row['name']}",
        )


def _dimensions(modifier: int | None) -> str:
    return "any number" if modifier is None or modifier < 0 else str(modifier)
