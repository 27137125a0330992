-- Statements that Python runs; core/queries.sql says how they are written.

-- status --
SELECT * FROM pgknowbase_status ORDER BY source

-- queue_states --
SELECT * FROM pgknowbase_queues_v1()

-- table_rows_estimate --
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%(table)s))

-- compare --
SELECT * FROM pgknowbase_compare_v1(%(source)s, %(label)s, %(object_keys)s::text[], %(rows)s::jsonb)

-- index_keys --
SELECT * FROM pgknowbase_index_keys_v1(%(source)s, %(after_key)s::text, %(max_keys)s)

-- chunk_state --
SELECT * FROM pgknowbase_chunk_state_v1(%(source)s, %(object_keys)s::text[])

-- word_state --
SELECT * FROM pgknowbase_word_state_v1(%(source)s, %(object_keys)s::text[])

-- word_repair --
SELECT pgknowbase_word_repair_v1(%(source)s, %(object_keys)s::text[])

-- corpus_state --
SELECT pgknowbase_corpus_state_v1(%(source)s)

-- corpus_repair --
SELECT pgknowbase_corpus_repair_v1(%(source)s)

-- copy_state --
SELECT c.hidden FROM pgknowbase_space AS s CROSS JOIN LATERAL pgknowbase_copy_state_v1(s.id, %(source)s) AS c
WHERE s.is_active

-- copy_repair --
SELECT pgknowbase_copy_repair_v1(s.id, %(source)s) FROM pgknowbase_space AS s WHERE s.is_active

-- chunk_sample --
-- Some chunks of a source, with their vectors in the active space, of documents that no worker has to embed.
SELECT c.id, c.chunk, c.embedding::real[]
FROM pgknowbase_chunk AS c
JOIN pgknowbase_externaldata AS e ON e.content_type_id = c.source AND e.object_key = c.id AND e.status = 'completed'
WHERE c.source = %(source)s ORDER BY random() LIMIT %(max_chunks)s

-- invalidate --
SELECT pgknowbase_invalidate_v1(%(source)s, %(object_keys)s::text[], %(redo)s::text[])

-- make_due --
SELECT pgknowbase_make_due_v1()

-- text_support --
SELECT getdatabaseencoding(), to_regprocedure('pgknowbase_tokenize_document_v1(text, text)') IS NOT NULL

-- knows_letters --
SELECT pgknowbase_tokenize_document_v1('simple', 'É') @@ 'é'::tsquery

-- server_versions --
SELECT current_setting('server_version_num')::int,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')

-- vector_extension --
-- Its version, its schema, and whether the search path finds its types.
SELECT extversion, extnamespace::regnamespace::text, to_regtype('vector') IS NOT NULL
FROM pg_extension WHERE extname = 'vector'

-- pgai_version --
SELECT version FROM ai.pgai_lib_version WHERE name = 'ai'

-- pgai_workers --
-- How many of pgai's own workers are alive.
SELECT count(*) FROM ai.vectorizer_worker_process AS w
WHERE w.last_heartbeat > clock_timestamp() - greatest(w.expected_heartbeat_interval * 5, interval '1 minute')

-- can_see_sessions --
SELECT pg_has_role('pg_read_all_stats', 'USAGE')

-- set_ef_search --
SELECT set_config('pgknowbase.ef_search', %(ef_search)s, true)

-- ef_search_used --
SELECT pgknowbase_ef_search_v1(%(limit)s, %(filtered)s, %(tuned)s, %(index)s)

-- similarities --
SELECT similarity FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, %(limit)s,
    pgknowbase_filter_v1(%(sources)s::int[], -1, metadata => %(metadata)s::jsonb, tags => %(tags)s::text[]),
    exact_search_max_chunks => %(exact_search_max_chunks)s)

-- similarities_exact --
SELECT similarity FROM pgknowbase_search_exact_v1(
    %(vector)s::halfvec, %(limit)s,
    pgknowbase_filter_v1(%(sources)s::int[], -1, metadata => %(metadata)s::jsonb, tags => %(tags)s::text[]))

-- recall_filters --
-- For each wanted share of the objects, the filter by one real value (a metadata entry or a tag) that lets a share pass
-- which comes nearest, and how many objects there are in all.
WITH object AS MATERIALIZED (
    SELECT e.metadata, e.tags FROM pgknowbase_externaldata AS e
    WHERE e.is_active AND e.content_type_id = ANY (coalesce(%(sources)s::int[], ARRAY[e.content_type_id]))
), candidate AS (
    SELECT jsonb_build_object(m.key, m.value) AS metadata, NULL::text[] AS tags, count(*) AS passing
    FROM object AS o CROSS JOIN LATERAL jsonb_each(o.metadata) AS m
    WHERE jsonb_typeof(o.metadata) = 'object' AND jsonb_typeof(m.value) IN ('string', 'number', 'boolean')
    GROUP BY 1
    UNION ALL
    SELECT NULL, ARRAY[t.tag], count(*) FROM object AS o CROSS JOIN LATERAL unnest(o.tags) AS t (tag) GROUP BY t.tag
), of_each_size AS (
    SELECT DISTINCT ON (c.passing) c.* FROM candidate AS c ORDER BY c.passing, c.metadata::text, c.tags
), total AS (
    SELECT count(*) AS objects FROM object
)
SELECT w.share AS wanted, n.metadata::text AS metadata, n.tags, n.passing, t.objects
FROM unnest(%(shares)s::float8[]) AS w (share)
CROSS JOIN total AS t
LEFT JOIN LATERAL (
    SELECT s.* FROM of_each_size AS s ORDER BY abs(ln(s.passing::float8 / t.objects) - ln(w.share)) LIMIT 1
) AS n ON true
ORDER BY w.share DESC

-- recall_sample --
-- Vectors of stored chunks, drawn by a hash, so that the same seed draws the same ones.
SELECT c.embedding::text
FROM pgknowbase_chunk AS c
WHERE c.embedding_uuid IN (
    SELECT s.embedding_uuid FROM pgknowbase_chunk AS s
    WHERE s.source = ANY (coalesce(%(sources)s::int[], ARRAY[s.source]))
    ORDER BY hashtextextended(s.source::text || ' ' || s.id || ' ' || s.chunk_seq::text, %(seed)s) LIMIT %(limit)s)
ORDER BY c.source, c.id, c.chunk_seq

-- recall_search_settings --
-- What the dense search sets for itself: 'hnsw.ef_search=100' and more.
SELECT coalesce(p.proconfig, '{}')
FROM pg_proc AS p
WHERE p.proname = 'pgknowbase_search_dense_v1' AND pg_function_is_visible(p.oid)
LIMIT 1

-- doctor_horizon --
-- Who keeps VACUUM from removing dead rows: sessions, prepared transactions, and replication slots that nobody reads.
SELECT 'session' AS kind, a.pid::text AS name,
    a.usename || coalesce(' (' || nullif(a.application_name, '') || ')', '') || ', ' || a.state AS who,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
FROM pg_stat_activity AS a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
    AND a.backend_type = 'client backend' AND a.datname = current_database() AND a.xact_start IS NOT NULL
UNION ALL
SELECT 'prepared', p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts AS p WHERE p.database = current_database()
UNION ALL
SELECT 'slot', s.slot_name, coalesce(s.plugin, s.slot_type), NULL
FROM pg_replication_slots AS s WHERE NOT s.active AND (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
ORDER BY seconds DESC NULLS FIRST

-- doctor_indexes --
-- Indexes of pgknowbase's and pgai's tables that cannot be used, and whether a build of each is under way.
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table,
    c.relname ~ '_cc(new|old)[0-9]*$' AS is_leftover,
    EXISTS (
        -- Copies of a database have the same numbers for their indexes.
        SELECT 1 FROM pg_stat_progress_create_index AS p
        WHERE p.index_relid = i.indexrelid AND p.datname = current_database()
    ) AS is_building
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND t.relkind <> 'p'
    AND (n.nspname = 'ai' OR starts_with(t.relname, 'pgknowbase_'))
ORDER BY 1

-- doctor_rights --
-- What the current role may not do, though searches, the worker or these examinations need it. read_tables: tables of the project that are only
-- read, as quoted identifiers. They are looked up in the catalogs, since a regclass of a schema that the role may not use is an error.
WITH home AS (
    SELECT c.relnamespace AS id FROM pg_class AS c
    WHERE c.relname = 'pgknowbase_outbox' AND c.relkind = 'r'
    ORDER BY pg_table_is_visible(c.oid) DESC LIMIT 1
), relation AS (
    SELECT c.oid, n.nspname, c.relname,
        CASE
            WHEN c.relkind = 'v' OR n.nspname = 'ai' AND c.relname !~ '^_' THEN ARRAY['SELECT']
            ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
        END AS needed
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v')
        AND (n.oid = (SELECT h.id FROM home AS h) AND c.relname ~ '^pgknowbase_' AND c.relname !~ '^pgknowbase_store_.*_view$'
            OR n.nspname = 'ai' AND (c.relname IN ('vectorizer', 'vectorizer_worker_process', 'pgai_lib_version')
                OR c.relname ~ '^_vectorizer_q_'))
    UNION ALL
    SELECT c.oid, n.nspname, c.relname, ARRAY['SELECT']
    FROM unnest(%(read_tables)s::text[]) AS watched (name)
    CROSS JOIN LATERAL parse_ident(watched.name) AS part
    JOIN pg_class AS c ON c.relname = part[cardinality(part)] AND c.relkind IN ('r', 'p', 'v', 'f')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND CASE cardinality(part) WHEN 1 THEN n.oid = (SELECT h.id FROM home AS h) ELSE n.nspname = part[1] END
), needed (kind, name, privilege, granted) AS (
    SELECT 'TABLE', quote_ident(r.nspname) || '.' || quote_ident(r.relname), p.privilege, has_table_privilege(r.oid, p.privilege)
    FROM relation AS r CROSS JOIN LATERAL unnest(r.needed) AS p (privilege)
    UNION ALL
    SELECT 'SEQUENCE', quote_ident(n.nspname) || '.' || quote_ident(s.relname), 'USAGE',
        CASE WHEN s.relkind = 'S' THEN has_sequence_privilege(s.oid, 'USAGE') END
    FROM pg_class AS s
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_depend AS d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass
        -- An identity's needs none to insert; that of the outbox is read: pgknowbase_outbox_low_watermark_v1.
        AND (d.deptype = 'a' OR s.relname = 'pgknowbase_outbox_id_seq')
    WHERE s.relkind = 'S' AND d.refobjid IN (SELECT r.oid FROM relation AS r WHERE 'INSERT' = ANY (r.needed))
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
        quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.pronamespace = (SELECT h.id FROM home AS h) AND starts_with(p.proname, 'pgknowbase_')
        AND p.prorettype <> 'trigger'::regtype
    UNION ALL
    SELECT 'SCHEMA', quote_ident(n.nspname), 'USAGE', has_schema_privilege(n.oid, 'USAGE')
    FROM pg_namespace AS n
    WHERE n.nspname = 'ai' OR n.oid = (SELECT h.id FROM home AS h) OR n.nspname IN (SELECT r.nspname FROM relation AS r)
), missing AS (
    SELECT n.kind, n.name, string_agg(n.privilege, ', ' ORDER BY n.privilege DESC) AS privileges
    FROM needed AS n WHERE NOT n.granted GROUP BY n.kind, n.name
)
SELECT m.kind, m.privileges, array_agg(m.name ORDER BY m.name) AS names, quote_ident(current_user) AS role
FROM missing AS m GROUP BY m.kind, m.privileges ORDER BY m.kind = 'SCHEMA' DESC, m.kind, m.privileges

-- doctor_server --
-- Where this session is, and what keeps triggers silent.
SELECT pg_is_in_recovery() AS is_standby, current_setting('session_replication_role') AS replication_role,
    quote_ident(current_user) AS role,
    ARRAY(
        SELECT 'ALTER ' || coalesce('ROLE ' || quote_ident(r.rolname), 'DATABASE ' || quote_ident(d.datname))
            || CASE WHEN r.oid IS NOT NULL AND d.oid IS NOT NULL THEN ' IN DATABASE ' || quote_ident(d.datname) ELSE '' END
            || ' RESET session_replication_role;'
        FROM pg_db_role_setting AS s
        LEFT JOIN pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
        WHERE (s.setdatabase = 0 OR d.datname = current_database())
            AND EXISTS (SELECT 1 FROM unnest(s.setconfig) AS c (setting) WHERE c.setting = 'session_replication_role=replica')
    ) AS resets,
    ARRAY(
        SELECT c.relname::text FROM pg_subscription_rel AS r JOIN pg_class AS c ON c.oid = r.srrelid) AS replicated

-- doctor_replica --
-- Seconds since the last transaction that this standby has replayed was committed, and whether its replay is paused.
SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float, pg_is_wal_replay_paused()

-- cluster --
SELECT host, port, answers FROM pgknowbase_cluster_v1()

-- cluster_prepared --
SELECT host, port, prepared FROM pgknowbase_cluster_prepared_v1(%(older_than)s::interval) WHERE prepared > 0

-- doctor_spaces --
-- The embedding spaces beside what the catalogs say of their stores.
SELECT s.name, s.is_active, s.dimensions, s.ef_search, s.storage, s.index, s.chunk_bytes, r.store::text AS store,
    y.typname AS stored_as, a.atttypmod AS stored_dimensions,
    v.id IS NOT NULL AS has_vectorizer, (v.config -> 'embedding' ->> 'dimensions')::int AS vectorizer_dimensions,
    coalesce(pgknowbase_store_bytes_v1(s), 0) AS bytes,
    quote_ident(s.store_table || '_hnsw') AS index_name,
    pgknowbase_index_column_v1(s.index, s.dimensions) AS index_column,
    EXISTS (
        SELECT 1 FROM pgknowbase_indexes AS i
        WHERE i.space_id = s.id AND i.name = s.store_table || '_hnsw' AND i.kind = s.index
            AND i.dimensions = s.dimensions) AS has_index,
    EXISTS (SELECT FROM pgknowbase_worker) AND ai.vectorizer_queue_pending(v.id) > 100 AS is_loading,
    ARRAY(
        SELECT i.name || ' of ' || i.kind || '(' || i.dimensions || ')' FROM pgknowbase_indexes AS i
        WHERE i.space_id = s.id AND (i.kind <> s.index OR i.dimensions <> s.dimensions) ORDER BY i.name) AS unused
FROM pgknowbase_space AS s
CROSS JOIN LATERAL (
    SELECT to_regclass(quote_ident(s.store_schema) || '.' || quote_ident(s.store_table)) AS store
) AS r
LEFT JOIN pg_attribute AS a ON a.attrelid = r.store AND a.attname = 'embedding'
LEFT JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
ORDER BY s.id

-- doctor_copies --
-- The chunks of each store that have the vector of another one.
SELECT s.id, s.name, s.store_table, c.copies, c.most, c.hidden
FROM pgknowbase_space AS s
CROSS JOIN LATERAL pgknowbase_copy_state_v1(s.id) AS c
WHERE to_regclass(quote_ident(s.store_schema) || '.' || quote_ident(s.store_table)) IS NOT NULL
ORDER BY s.id

-- doctor_tables --
-- pgknowbase's and pgai's tables: size, dead rows, and whether the planner knows anything of them.
SELECT c.oid::regclass::text AS name, pg_relation_size(c.oid) AS bytes, pg_stat_get_live_tuples(c.oid) AS live,
    pg_stat_get_dead_tuples(c.oid) AS dead,
    NOT has_table_privilege(c.oid, 'SELECT')
        OR EXISTS (SELECT 1 FROM pg_stats AS s WHERE s.schemaname = n.nspname AND s.tablename = c.relname) AS has_statistics,
    coalesce((
        SELECT NOT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = 'autovacuum_enabled'), false) AS is_left_out
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname = 'ai' OR starts_with(c.relname, 'pgknowbase_') AND pg_table_is_visible(c.oid))
ORDER BY 1

-- doctor_triggers --
-- Every capture trigger that stands on a table. Those of partitions are clones of their parent's. Those of an index in
-- another schema have functions there.
SELECT t.tgrelid::regclass::text AS on_table, t.tgname AS name, t.tgenabled::text AS enabled,
    t.tgparentid <> 0 AS is_clone, obj_description(t.oid, 'pg_trigger') AS hash, p.prosrc AS body,
    p.prosecdef AND EXISTS (
        SELECT 1 FROM unnest(p.proconfig) AS s (setting) WHERE starts_with(s.setting, 'search_path=')) AS is_secured
FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE starts_with(t.tgname, 'pgtrigger_pgknowbase_') AND pg_function_is_visible(p.oid)
ORDER BY t.tgrelid::regclass::text, t.tgname

-- doctor_versions --
-- What runs here. pgvector's available version is that of the files on the server, which is what is loaded.
SELECT current_setting('server_version') AS postgres,
    (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'vector') AS pgvector,
    (SELECT a.default_version FROM pg_available_extensions AS a WHERE a.name = 'vector') AS available

-- former_sources --
-- What index and outbox hold of models that are not source models any more; labels in lower case.
SELECT coalesce(i.label, o.label), i.id, coalesce(i.objects, 0), coalesce(o.events, 0)
FROM (
    SELECT t.app_label || '.' || t.model AS label, t.id, count(*) AS objects
    FROM pgknowbase_externaldata AS e JOIN django_content_type AS t ON t.id = e.content_type_id
    GROUP BY t.id
) AS i
FULL JOIN (
    SELECT lower(w.source) AS label, count(*) AS events
    FROM (SELECT source FROM pgknowbase_outbox UNION ALL SELECT source FROM pgknowbase_expansion) AS w
    GROUP BY lower(w.source)
) AS o ON o.label = i.label
WHERE coalesce(i.label, o.label) <> ALL (%(labels)s::text[])
ORDER BY 1

-- objects_with_pending_events --
SELECT * FROM pgknowbase_objects_with_pending_events_v1(%(label)s, %(object_keys)s::text[])
