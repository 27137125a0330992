-- Statements that Python runs; core/queries.sql says how they are written.

-- space_create --
SELECT pgknowbase_space_create_v1(
    %(name)s, %(backend)s, %(model)s, %(dimensions)s, %(chunk_size)s, %(chunk_overlap)s, %(template)s, %(splitter)s,
    %(index)s, %(storage)s, %(embedding)s, %(indexed)s)

-- space_distribute --
SELECT pgknowbase_space_distribute_v1(%(space)s, %(distributed)s, %(shards)s)

-- part_distribute --
--- part: words or texts. beside: a space; they shall lie where its store does.
SELECT CASE %(part)s
    WHEN 'words' THEN pgknowbase_keywords_distribute_v1(%(distributed)s, s.store)
    ELSE pgknowbase_documents_distribute_v1(%(distributed)s, s.store) END
FROM (SELECT format('%%I.%%I', p.store_schema, p.store_table) AS store FROM pgknowbase_space AS p WHERE p.id = %(beside)s) AS s

-- part_shrink --
SELECT CASE %(part)s
    WHEN 'words' THEN pgknowbase_keywords_shrink_v1()::text
    ELSE pgknowbase_documents_shrink_v1()::text END

-- space_activate --
SELECT pgknowbase_space_activate_v1(%(space)s)

-- space_made_by --
SELECT pgknowbase_space_made_by_v1(%(space)s, %(fingerprint)s)

-- space_keep --
SELECT pgknowbase_space_keep_v1(%(space)s, %(max_vectors)s)

-- space_drop --
SELECT pgknowbase_space_drop_v1(%(space)s)

-- space_coverage --
SELECT * FROM pgknowbase_space_coverage_v1(%(space)s)

-- space_queued_before --
SELECT pgknowbase_space_queued_before_v1(%(space)s, %(until)s)

-- space_recount --
SELECT * FROM pgknowbase_space_recount_v1(%(after_source)s, %(after_key)s, %(max_rows)s)

-- space_search --
SELECT * FROM pgknowbase_space_search_v1(%(space)s, %(query)s::halfvec, %(max_hits)s)

-- index_column --
SELECT pgknowbase_index_column_v1(%(index)s, %(dimensions)s)

-- indexes --
SELECT * FROM pgknowbase_indexes ORDER BY space_id, source NULLS FIRST, name

-- index_progress --
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total FROM pg_stat_progress_create_index
WHERE pid = %(pid)s

-- index_builders --
-- The server's processes that build an index on a store, other than this one.
SELECT p.pid FROM pg_stat_progress_create_index AS p
WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
    AND p.relid = to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s))

-- index_settings --
-- Memory for a whole graph, as far as twice shared_buffers, which says how large the server is; more where the role or
-- the server has more. pgvector before 0.8.2 must not build in parallel: CVE-2026-3172.
SELECT set_config('maintenance_work_mem', greatest(
        pg_size_bytes(current_setting('maintenance_work_mem')),
        least(2 * pg_size_bytes(current_setting('shared_buffers')),
            pg_table_size(to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s)))
                / %(chunk_bytes)s * %(element_bytes)s)) / 1024 || 'kB', false),
    set_config('max_parallel_maintenance_workers', CASE
        WHEN %(parallel)s AND string_to_array(x.extversion, '.')::integer[] >= ARRAY[0, 8, 2]
            THEN current_setting('max_parallel_maintenance_workers') ELSE '0' END, false),
    set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)
FROM pg_extension AS x WHERE x.extname = 'vector'

-- index_settings_reset --
SELECT set_config(s.name, s.reset_val, false) FROM pg_settings AS s
WHERE s.name IN ('maintenance_work_mem', 'max_parallel_maintenance_workers', 'statement_timeout', 'lock_timeout')

-- indexes_due --
SELECT * FROM pgknowbase_indexes_due_v1(%(worker)s, %(exact_search_max_chunks)s)

-- queue_lengths --
SELECT s.id, ai.vectorizer_queue_pending(s.vectorizer_id) FROM pgknowbase_space AS s

-- store_rows_estimate --
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- store_bytes --
SELECT pgknowbase_store_bytes_v1(s) FROM pgknowbase_space AS s WHERE s.store_schema = %(schema)s AND s.store_table = %(table)s

-- document_sample --
SELECT d.title FROM pgknowbase_document AS d WHERE d.title <> '' ORDER BY md5(d.source || ':' || d.id) LIMIT %(limit)s
