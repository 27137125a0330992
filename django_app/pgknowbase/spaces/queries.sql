-- Statements that Python runs; core/queries.sql says how they are written.

-- space_create --
SELECT pgknowbase_space_create_v1(
    %(name)s, %(backend)s, %(model)s, %(dimensions)s, %(chunk_size)s, %(chunk_overlap)s, %(template)s, %(splitter)s,
    %(index)s, %(storage)s, %(embedding)s, %(indexed)s)

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

-- queue_lengths --
SELECT s.id, ai.vectorizer_queue_pending(s.vectorizer_id) FROM pgknowbase_space AS s

-- store_rows_estimate --
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- store_bytes --
SELECT pg_table_size(to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s)))

-- document_sample --
SELECT d.title FROM pgknowbase_document AS d WHERE d.title <> '' ORDER BY md5(d.source || ':' || d.id) LIMIT %(limit)s
