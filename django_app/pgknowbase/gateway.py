"""The one module that touches cursors: every call of a SQL function that pgknowbase makes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, LiteralString

from django.db import connections

Row = tuple[Any, ...]

OUTBOX_CLAIM = "SELECT * FROM pgknowbase_outbox_claim_v1(%s::text[], %s, %s)"
OUTBOX_FLOOR = "SELECT * FROM pgknowbase_outbox_floor_v1(%s::text[], %s)"
OUTBOX_WAITING = "SELECT * FROM pgknowbase_outbox_waiting_v1(%s::text[], %s, %s::int[], %s::int[])"
OUTBOX_ACK = "SELECT pgknowbase_outbox_ack_v1(%s::bigint[])"
EXPANSION_ADD = "SELECT pgknowbase_expansion_add_v1(%s, %s, %s::text[])"
EXPANSION_CLAIM = "SELECT * FROM pgknowbase_expansion_claim_v1(%s::text[])"
EXPANSION_TURN = "SELECT pgknowbase_expansion_turn_v1(%s, %s::text)"
LOCK_OBJECTS = "SELECT pgknowbase_lock_objects_v1(%s, %s::text[])"
DUE_CLAIM = "SELECT * FROM pgknowbase_due_claim_v1(%s::int[], %s::int[], %s)"
KNOWN_KEYS = "SELECT * FROM pgknowbase_known_keys_v1(%s, %s::text, %s)"
LOCK_DOCUMENTS = "SELECT pgknowbase_lock_documents_v1(%s, %s::text[])"
APPLY = "SELECT * FROM pgknowbase_apply_v1(%s, %s::jsonb, %s)"
REMOVE = "SELECT * FROM pgknowbase_remove_v1(%s, %s::text[])"
FAIL = "SELECT * FROM pgknowbase_fail_v1(%s, %s::text[], %s::text[], %s, %s, %s)"
RENDER_ADD = "SELECT pgknowbase_render_add_v1(%s, %s, %s, %s, %s, %s, %s, %s)"
AWAITED = "SELECT * FROM pgknowbase_awaited_v1(%s, %s, %s, %s::bigint[])"
REACTION_CHAIN = "SELECT set_config('pgknowbase.reaction', %s, true)"
REACTION_WAITING = "SELECT * FROM pgknowbase_reaction_waiting_v1(%s::text[], %s::uuid, %s::bigint[])"
REACTION_CLAIM = "SELECT * FROM pgknowbase_reaction_claim_v1(%s::text[], %s)"
REACTION_ACK = "SELECT pgknowbase_reaction_ack_v1(%s::bigint[])"
DELIVERY_ADD = "SELECT pgknowbase_delivery_add_v1(%s::jsonb)"
DELIVERY_CLAIM = "SELECT * FROM pgknowbase_delivery_claim_v1(%s::text[], %s::uuid, %s)"
DELIVERY_RETURN = "SELECT pgknowbase_delivery_return_v1(%s::uuid, %s::bigint[])"
DELIVERY_SETTLE = "SELECT pgknowbase_delivery_settle_v1(%s, %s, %s, %s, %s::float8)"
DELIVERY_RETRY = "SELECT pgknowbase_delivery_retry_v1(%s::bigint[])"
DELIVERY_PRUNE = "SELECT pgknowbase_delivery_prune_v1(%s::float8, %s)"
REACTION_STATUS = "SELECT * FROM pgknowbase_reaction_status ORDER BY reaction"
LANGUAGES = "SELECT array_agg(c.cfgname::text) FROM pg_ts_config AS c WHERE pg_ts_config_is_visible(c.oid)"
KEYWORDS_REFRESH = "SELECT pgknowbase_keywords_refresh_v1(%s)"
REQUEUE = "SELECT pgknowbase_requeue_v1(%s, %s::text[], %s)"
SPACE_CREATE = "SELECT pgknowbase_space_create_v1(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
SPACE_ACTIVATE = "SELECT pgknowbase_space_activate_v1(%s)"
SPACE_LEFT = "SELECT pgknowbase_space_left_v1(%s, %s)"
SPACE_COVERAGE = "SELECT * FROM pgknowbase_space_coverage_v1(%s)"
SPACE_RECOUNT = "SELECT * FROM pgknowbase_space_recount_v1(%s, %s, %s)"
SPACE_SEARCH = "SELECT * FROM pgknowbase_space_search_v1(%s, %s::halfvec, %s)"
SPACE_DROP = "SELECT pgknowbase_space_drop_v1(%s)"
VECTORIZER = "SELECT to_jsonb(v) FROM ai.vectorizer AS v WHERE v.id = %s"
VECTOR_OID = "SELECT (%s::text)::regtype::oid::int"
INDEX_COLUMN = "SELECT pgknowbase_index_column_v1(%s, %s)"
QUEUE_CLAIM = (
    "SELECT item::text, lease, attempts, source, id, title, content"
    " FROM pgknowbase_queue_claim_v1(%s, %s, %s, %s, %s, %s)"
)
QUEUE_RELEASE = "SELECT pgknowbase_queue_release_v1(%s, %s::tid[], %s, %s::float8, %s, %s)"
QUEUE_FAIL = "SELECT pgknowbase_queue_fail_v1(%s, %s::tid, %s, %s)"
QUEUES = "SELECT s.id, ai.vectorizer_queue_pending(s.vectorizer_id) FROM pgknowbase_space AS s"
STORE_ESTIMATE = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(format('%%I.%%I', %s::text, %s::text))"
QUEUE_PENDING = "SELECT ai.vectorizer_queue_pending(%s, true)"
BACKFILL = "SELECT set_config('pgknowbase.backfill', %s, true)"
WORKER_BEAT = "SELECT pgknowbase_worker_beat_v1(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
WORKER_END = "SELECT pgknowbase_worker_end_v1(%s)"
CHUNKS = "SELECT * FROM pgknowbase_chunks_v1(%s, %s::int[], %s::text[])"
STORE_OPEN = (
    "SELECT * FROM pgknowbase_store_open_v1("
    "%s, %s::int[], %s::text[], %s::text[], %s::int[], %s::text[], %s::int[], %s::int[], %s::text[])"
)
STORE_CLOSE = "SELECT pgknowbase_store_close_v1(%s, %s::tid[], %s, %s::int[], %s::text[])"
SETTLE = "SELECT pgknowbase_settle_v1()"
SEARCH_DENSE = (
    "SELECT s.serves, h.* FROM pgknowbase_space_serves_v1(%s) AS s (serves) LEFT JOIN LATERAL ("
    "SELECT * FROM pgknowbase_search_dense_v1(%s::halfvec, %s, %s::int[], %s, %s::text, %s::jsonb, %s::jsonpath,"
    " %s::text[], %s::timestamptz, %s::timestamptz, %s::text[], %s::bigint[],"
    " skip => %s, exact_below => %s, space_model => %s, note_plan => %s) WHERE s.serves OFFSET 0) AS h ON true"
)
SEARCH_KEYWORD = (
    "SELECT h.* FROM pgknowbase_search_keyword_v1(%s, %s, %s::int[], %s, %s::text, %s::jsonb, %s::jsonpath,"
    " %s::text[], %s::timestamptz, %s::timestamptz, %s::text[], %s::bigint[], skip => %s, k1 => %s, b => %s,"
    " note_plan => %s) AS h"
)
SEARCH_HYBRID = (
    "SELECT s.serves, h.* FROM pgknowbase_space_serves_v1(%s) AS s (serves) LEFT JOIN LATERAL ("
    "SELECT * FROM pgknowbase_search_hybrid_v1(%s, %s::halfvec, %s, %s::int[], %s, %s::text, %s::jsonb, %s::jsonpath,"
    " %s::text[], %s::timestamptz, %s::timestamptz, %s::text[], %s::bigint[], skip => %s, dense_weight => %s,"
    " exact_below => %s, space_model => %s, k1 => %s, b => %s, note_plan => %s) WHERE s.serves OFFSET 0) AS h ON true"
)
SIMILAR = (
    "SELECT h.* FROM pgknowbase_similar_v1(%s, %s, %s, %s::int[], %s, %s::text, %s::jsonb, %s::jsonpath,"
    " %s::text[], %s::timestamptz, %s::timestamptz, %s::text[], %s::bigint[],"
    " skip => %s, exact_below => %s, note_plan => %s) AS h"
)
PENDING_EVENTS = "SELECT * FROM pgknowbase_pending_events_v1(%s::text[], %s)"
SEARCH_PENDING = (
    "SELECT * FROM pgknowbase_search_pending_v1(%s, %s::jsonb, %s, %s::int[], %s::int[], %s::text, %s::jsonb,"
    " %s::jsonpath, %s::text[], %s::timestamptz, %s::timestamptz, %s::text[], %s::bigint[])"
)
PENDING_HITS = (
    "SELECT e.id FROM pgknowbase_externaldata AS e"
    " LEFT JOIN pgknowbase_keywords AS k ON k.source = e.content_type_id AND k.id = e.object_key"
    " WHERE e.id = ANY (%s) AND (e.status IN ('pending', 'processing') OR k.stale)"
)
SEARCH_PLAN = "SELECT current_setting('pgknowbase.search_plan', true)"
KEYWORD_PLAN = "SELECT current_setting('pgknowbase.keyword_plan', true)"
HYBRID_PLAN = "SELECT current_setting('pgknowbase.hybrid_plan', true)"
WAITING = "SELECT * FROM pgknowbase_waiting_v1(%s, %s::text[])"
KEYWORDS_STALE = "SELECT k.stale FROM pgknowbase_keywords AS k WHERE k.source = %s AND k.id = %s"
PASSES = (
    "SELECT pgknowbase_passes_v1(e, NULL, NULL, %s::jsonb, %s::jsonpath, %s::text[], NULL, NULL)"
    " FROM pgknowbase_externaldata AS e WHERE e.id = %s"
)
HAS_CHUNKS = "SELECT EXISTS (SELECT 1 FROM pgknowbase_chunk AS c WHERE c.source = %s AND c.id = %s)"
STATUS = "SELECT * FROM pgknowbase_status ORDER BY source"
ROWS_ESTIMATE = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%s))"
COMPARE = "SELECT * FROM pgknowbase_compare_v1(%s, %s, %s::text[], %s::jsonb)"
INDEX_KEYS = "SELECT * FROM pgknowbase_index_keys_v1(%s, %s::text, %s)"
CHUNK_STATE = "SELECT * FROM pgknowbase_chunk_state_v1(%s, %s::text[])"
DISTRUST = "SELECT pgknowbase_distrust_v1(%s, %s::text[], %s::text[])"
MAKE_DUE = "SELECT pgknowbase_make_due_v1()"
SERVER = (
    "SELECT current_setting('server_version_num')::int,"
    " (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
    " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
)
RENDERING_COSTS = "SELECT * FROM pgknowbase_rendering_costs"
INDEXES = "SELECT * FROM pgknowbase_indexes ORDER BY space_id, source NULLS FIRST, name"
INDEX_PROGRESS = (
    "SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total FROM pg_stat_progress_create_index"
    " WHERE pid = %s"
)
BACKEND_PID = "SELECT pg_backend_pid()"
LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
NOW = "SELECT clock_timestamp()"
DOCUMENT_SAMPLE = (
    "SELECT d.title FROM pgknowbase_document AS d WHERE d.title <> '' ORDER BY md5(d.source || ':' || d.id) LIMIT %s"
)
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
READ_ONLY = "SELECT set_config('transaction_read_only', 'on', true)"
ISOLATION = "SELECT current_setting('transaction_isolation')"
QUEUE_STATES = "SELECT * FROM pgknowbase_queues_v1()"
PGAI_VERSION = "SELECT version FROM ai.pgai_lib_version WHERE name = 'ai'"
PGAI_WORKERS = (
    "SELECT count(*) FROM ai.vectorizer_worker_process AS w"
    " WHERE w.last_heartbeat > clock_timestamp() - greatest(w.expected_heartbeat_interval * 5, interval '1 minute')"
)
SIMILARITIES = (
    "SELECT similarity FROM pgknowbase_search_dense_v1(query => %s::halfvec, max_hits => %s, sources => %s::int[],"
    " threshold => -1, metadata => %s::jsonb, tags => %s::text[], exact_below => %s)"
)
SIMILARITIES_EXACT = (
    "SELECT similarity FROM pgknowbase_search_exact_v1(query => %s::halfvec, max_hits => %s, sources => %s::int[],"
    " threshold => -1, metadata => %s::jsonb, tags => %s::text[])"
)
EF_SEARCH_USED = "SELECT pgknowbase_ef_search_v1(%s, %s, %s, %s)"
EF_SEARCH = "SELECT set_config('pgknowbase.ef_search', %s, true)"
STORE_BYTES = "SELECT pg_table_size(to_regclass(quote_ident(%s) || '.' || quote_ident(%s)))"
SEES_SESSIONS = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"
STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', %s, true)"
LOCK_NAME = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
THROTTLE = "SELECT pgknowbase_throttle_v1(%s, %s, %s)"
LISTED_TABLES = "SELECT to_regclass('pgknowbase_space') IS NOT NULL"


def fetch(using: str, query: LiteralString, *params: Any) -> list[Row]:
    """The rows of one of the queries above, run on Django's connection ``using``."""
    with connections[using].cursor() as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall())


def fetch_hits(using: str, query: LiteralString, *params: Any, beside: str | None) -> list[Row]:
    """The hits of one of the searches above.

    ``beside``: a SELECT, without parameters, that is given each hit as ``h``: its row, or nulls, stands after the hit's
    columns, and the hits are ordered by score and then by its first column.
    """
    if beside is None:
        return fetch(using, query, *params)
    head, tail = query.split("h.*", 1)
    joined = f"{head}h.*, r.*{tail} LEFT JOIN LATERAL ({beside} OFFSET 0) AS r ON true"
    ordered = f"{joined} ORDER BY h.score DESC, {11 if 's.serves' in head else 10}"
    with connections[using].cursor() as cursor:
        cursor.execute(ordered, params)
        return list(cursor.fetchall())


def execute(using: str, query: LiteralString) -> None:
    """Run one of the commands above, which returns no rows."""
    with connections[using].cursor() as cursor:
        cursor.execute(query)


def fetch_value(using: str, query: LiteralString, *params: Any) -> Any:
    """The first column of the only row, or None where there is none."""
    rows = fetch(using, query, *params)
    return rows[0][0] if rows else None


def fetch_dicts(using: str, query: LiteralString, *params: Any) -> list[dict[str, Any]]:
    """The rows as dicts by column name."""
    with connections[using].cursor() as cursor:
        cursor.execute(query, params)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@lru_cache(maxsize=16)
def languages(using: str) -> frozenset[str]:
    """The text search configurations of the database; those that are new to it are seen by new processes."""
    return frozenset(fetch_value(using, LANGUAGES))


def create_index(
    using: str,
    schema: str,
    table: str,
    name: str,
    column: str,
    *,
    source: int | None,
    m: int,
    ef_construction: int,
    concurrently: bool,
) -> None:
    """Build an HNSW index on ``column`` (see INDEX_COLUMN) over the chunks of a store, or over those of one source."""
    from psycopg import sql

    statement = sql.SQL("CREATE INDEX {} {} ON {} USING hnsw ({}) WITH (m = {}, ef_construction = {}) {}").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(name),
        sql.Identifier(schema, table),
        sql.SQL(column),
        sql.Literal(m),
        sql.Literal(ef_construction),
        sql.SQL("" if source is None else "WHERE source = {}").format(sql.Literal(source)),
    )
    _command(using, statement)


def drop_index(using: str, schema: str, name: str) -> None:
    """Drop an index of a store while others use the table."""
    from psycopg import sql

    _command(using, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name)))


def rename_index(using: str, schema: str, name: str, to: str) -> None:
    """Give an index of a store another name."""
    from psycopg import sql

    _command(using, sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(schema, name), sql.Identifier(to)))


def _command(using: str, statement: Any) -> None:
    connection = connections[using]
    connection.ensure_connection()
    raw: Any = connection.connection
    with connection.wrap_database_errors, raw.cursor() as cursor:
        cursor.execute(statement)


def copy_chunks(using: str, schema: str, table: str, storage: str, vector_oid: int, rows: Sequence[Row]) -> None:
    """Copy chunk rows (source, id, chunk_seq, chunk, embedding, tokens) into a store, in binary.

    ``storage``: the type of its vectors, of which ``vector_oid`` is the oid.
    """
    from pgvector import HalfVector, Vector
    from pgvector.psycopg.halfvec import HalfVectorBinaryDumper
    from pgvector.psycopg.vector import VectorBinaryDumper
    from psycopg import sql

    statement = sql.SQL("COPY {} (source, id, chunk_seq, chunk, embedding, tokens) FROM STDIN (FORMAT BINARY)")
    kind: type[Any] = HalfVector if storage == "halfvec" else Vector
    base = HalfVectorBinaryDumper if storage == "halfvec" else VectorBinaryDumper
    dumper = type("VectorDumper", (base,), {"oid": vector_oid})
    connection = connections[using]
    connection.ensure_connection()
    raw: Any = connection.connection
    with raw.cursor() as cursor:
        cursor.adapters.register_dumper(kind, dumper)
        with cursor.copy(statement.format(sql.Identifier(schema, table))) as copy:
            copy.set_types(["int4", "text", "int4", "text", vector_oid, "int4"])
            for source, key, seq, chunk, vector, tokens in rows:
                copy.write_row((source, key, seq, chunk, kind(vector), tokens))
