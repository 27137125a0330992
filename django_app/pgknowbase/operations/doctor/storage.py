"""Storage: embedding spaces with their chunk stores and vector indexes, tables, and VACUUM."""

from collections.abc import Iterator
from typing import Any

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import Finding, duration, error, info, warning
from pgknowbase.operations.recall import current_ef_search, dense_search_settings
from pgknowbase.spaces.indexes import indexes

REBUILD = "manage.py pgknowbase_space rebuild"
# Bytes. The plans of a smaller table hardly differ.
LARGE_TABLE = 1_000_000
# Fewer are usual between two runs of autovacuum.
MANY_DEAD_ROWS = 50_000
# Chunks with one vector. pgvector keeps ten in one element of its graph; some elements more do no harm.
MANY_COPIES = 100
# Seconds. Longer than any transaction of the worker.
LONG_TRANSACTION = 600.0


# Embedding spaces


def spaces(using: str) -> Iterator[Finding]:
    """No active space, or a space whose chunk store, vectorizer and vector index do not fit together."""
    rows = gateway.fetch_dicts(using, "doctor_spaces")
    if not any(row["is_active"] for row in rows):
        yield error(
            "space.missing", "No embedding space is active, so nothing can be found.", "manage.py migrate pgknowbase"
        )
    for row in rows:
        yield from _parts(row)
        yield from _vector_index(row)


def search(using: str) -> Iterator[Finding]:
    """A dense search whose ``limit`` may exceed the chunks that one scan of the vector index returns."""
    largest = get_settings().search.max_limit
    settings, ef_search = dense_search_settings(using), current_ef_search(using, limit=largest)
    if settings.get("hnsw.iterative_scan", "off") == "off":
        yield error(
            "search.iterative_scan",
            "The dense search does not continue its scan of the vector index (hnsw.iterative_scan is off): it finds"
            f" {current_ef_search(using)} chunks at most, and fewer with filters.",
            "ALTER FUNCTION pgknowbase_search_dense_v1 SET hnsw.iterative_scan = 'strict_order';",
        )
    elif ef_search < largest:
        yield info(
            "search.ef_search",
            f"hnsw.ef_search is {ef_search}, and a search may be asked for {largest} rows (SEARCH MAX_LIMIT). Past the"
            f" first {ef_search} chunks the scan continues and skips chunks that are nearer than those already"
            " returned: larger limits get all their rows, but with less recall.",
            f"manage.py pgknowbase_tune recall --limit {largest}",
        )


def _parts(row: dict[str, Any]) -> Iterator[Finding]:
    name = row["name"]
    if row["store"] is None:
        yield error("space.store", f"The space {name!r} has no chunk store any more.", REBUILD)
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
            "space.vectorizer", f"The space {name!r} has no pgai vectorizer any more: nothing is embedded.", REBUILD
        )
    elif row["vectorizer_dimensions"] not in (None, row["dimensions"]):
        yield error(
            "space.dimensions",
            f"The space {name!r} has {row['dimensions']} dimensions, its pgai vectorizer has"
            f" {row['vectorizer_dimensions']}.",
            REBUILD,
        )


def _vector_index(row: dict[str, Any]) -> Iterator[Finding]:
    """A large store without a vector index, and an index that searches cannot use.

    A small store needs none. The size that counts as large is the one by which the dense search decides.
    """
    large = row["bytes"] > get_settings().search.exact_search_max_chunks * row["chunk_bytes"]
    if large and not row["has_index"] and row["is_loading"]:
        yield info(
            "index.missing",
            f"The chunk store {row['store']} has {row['bytes'] / 1e6:,.0f} MB and no vector index: searches compare"
            " every chunk until the load is over, or ten minutes; then a worker builds it.",
            "Wait for it.",
        )
    elif large and not row["has_index"]:
        yield (error if row["is_active"] else warning)(
            "index.missing",
            f"The chunk store {row['store']} has {row['bytes'] / 1e6:,.0f} MB and no vector index: searches compare"
            " every chunk.",
            f"CREATE INDEX CONCURRENTLY {row['index_name']} ON {row['store']} USING hnsw ({row['index_column']})"
            " WHERE NOT is_copy;",
        )
    if row["unused"] and row["stored_dimensions"] == row["dimensions"]:
        yield warning(
            "index.kind",
            f"Searches of the space {row['name']!r} compare {row['index']}({row['dimensions']}), so they do not use"
            f" {', '.join(row['unused'])}, which only slows down writes.",
            f"manage.py pgknowbase_space index {row['name']}",
        )


def copies(using: str) -> Iterator[Finding]:
    """A vector index in which many chunks with one vector hide others, and vectors that no index holds."""
    with_copies = [index for index in indexes(using) if not index.one_per_vector]
    for row in gateway.fetch_dicts(using, "doctor_copies"):
        for index in with_copies if row["most"] >= MANY_COPIES else ():
            if index.space_id == row["id"]:
                yield warning(
                    "index.copies",
                    f"The vector index {index.name} of the space {row['name']!r} holds copies, which hide other chunks"
                    f" from searches: {row['copies']:,} chunks have the vector of another one, up to {row['most']:,}"
                    " the same. An index that pgknowbase_space builds holds one chunk of each vector.",
                    f"manage.py pgknowbase_space index {row['name']}"
                    if index.name == f"{row['store_table']}_hnsw"
                    else f'DROP INDEX CONCURRENTLY "{index.schema}"."{index.name}";',
                )
        if row["hidden"]:
            yield error(
                "index.hidden",
                f"{row['hidden']:,} vectors of the space {row['name']!r} have copies alone, so the vector index holds"
                " none of their chunks and searches along it do not find them.",
                f"SELECT pgknowbase_copy_repair_v1({row['id']});",
            )


def _dimensions(modifier: int | None) -> str:
    return "any number" if modifier is None or modifier < 0 else str(modifier)


# Indexes and tables


def invalid_indexes(using: str) -> Iterator[Finding]:
    """Invalid indexes of pgknowbase's tables: their build failed, or is in progress."""
    for row in gateway.fetch_dicts(using, "doctor_indexes"):
        what = f"The index {row['name']} of {row['on_table']} is invalid, so Postgres maintains it and does not use it"
        if row["is_building"]:
            yield info("index.invalid", f"The index {row['name']} of {row['on_table']} is being built.", "Wait for it.")
        elif row["is_leftover"]:
            yield error("index.invalid", f"{what}: a rebuild failed.", f"DROP INDEX CONCURRENTLY {row['name']};")
        else:
            yield error("index.invalid", f"{what}: its build failed.", f"REINDEX INDEX CONCURRENTLY {row['name']};")


def tables(using: str) -> Iterator[Finding]:
    """Large tables without statistics, tables full of dead rows, and tables that autovacuum skips."""
    for row in gateway.fetch_dicts(using, "doctor_tables"):
        name = row["name"]
        if row["bytes"] >= LARGE_TABLE and not row["has_statistics"]:
            yield warning(
                "table.statistics",
                f"The table {name} has {row['bytes'] / 1e6:,.0f} MB and was never analysed: the planner has no"
                " statistics.",
                f"ANALYZE {name};",
            )
        if row["dead"] >= MANY_DEAD_ROWS and row["dead"] > row["live"]:
            yield warning(
                "table.bloat",
                f"The table {name} holds {row['dead']:,} dead rows beside {row['live']:,} live ones: each scan"
                " reads them all. If VACUUM removes none, see vacuum.held.",
                f"VACUUM (ANALYZE) {name};",
            )
        if row["is_left_out"]:
            yield warning(
                "table.autovacuum",
                f"Autovacuum is off for the table {name}, which changes constantly.",
                f"ALTER TABLE {name} RESET (autovacuum_enabled);",
            )


def vacuum(using: str) -> Iterator[Finding]:
    """Old transactions, prepared transactions and unused replication slots: VACUUM keeps the rows that they may see."""
    for row in gateway.fetch_dicts(using, "doctor_horizon"):
        if row["seconds"] is None or row["seconds"] > LONG_TRANSACTION:
            yield _held(row)
    if not gateway.fetch_value(using, "can_see_sessions"):
        yield info(
            "vacuum.hidden",
            "This role cannot see how old the transactions of other roles are.",
            "GRANT pg_read_all_stats TO CURRENT_USER;",
        )


def _held(row: dict[str, Any]) -> Finding:
    name, who = row["name"], row["who"]
    literal = "'" + name.replace("'", "''") + "'"
    if row["kind"] == "session":
        what = f"The session with pid {name} ({who}) has had a transaction open for {duration(row['seconds'])}"
        fix = f"SELECT pg_terminate_backend({name});"
    elif row["kind"] == "prepared":
        what = f"The prepared transaction {name!r} of {who} is {duration(row['seconds'])} old"
        fix = f"ROLLBACK PREPARED {literal};"
    else:
        what = f"Nobody reads the replication slot {name!r} ({who}), which also keeps WAL"
        fix = f"SELECT pg_drop_replication_slot({literal});"
    return warning("vacuum.held", f"{what}: until it ends, VACUUM cannot remove rows that died since.", fix)
