-- Statements that Python runs; core/queries.sql says how they are written.

-- pgai_vectorizers --
-- pgai's vectorizers, but for those of embedding spaces, with the source table as it is and what this role may do.
SELECT v.id, v.name, v.source_schema::text AS schema, v.source_table::text AS table, v.config::text AS config,
    coalesce(v.disabled, false) AS is_disabled,
    coalesce((SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, NULL)) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}')::text AS columns,
    ARRAY(SELECT a.attname::text FROM pg_index AS i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.place) AS key,
    ARRAY(SELECT p.attname FROM jsonb_to_recordset(v.source_pk) AS p (attname text, pknum integer)
        ORDER BY p.pknum) AS pgai_key,
    (SELECT a.atttypmod FROM pg_attribute AS a
        WHERE a.attrelid = coalesce(t.oid, c.oid) AND NOT a.attisdropped
            AND a.attname = coalesce(v.config -> 'destination' ->> 'embedding_column', 'embedding')) AS stored_dimensions,
    coalesce(pg_table_is_visible(c.oid), false) AS is_visible,
    coalesce(pg_has_role(c.relowner, 'USAGE'), false) AS may_alter,
    has_table_privilege('ai.vectorizer', 'UPDATE') AND coalesce(has_table_privilege(t.oid, 'SELECT'), true)
        AND coalesce(has_table_privilege(q.oid, 'SELECT'), false) AS may_read
FROM ai.vectorizer AS v
LEFT JOIN pg_class AS c ON c.oid = to_regclass(format('%%I.%%I', v.source_schema, v.source_table))
LEFT JOIN pg_class AS t ON t.oid = to_regclass(
    quote_ident(v.config -> 'destination' ->> 'target_schema') || '.'
    || quote_ident(v.config -> 'destination' ->> 'target_table'))
LEFT JOIN pg_class AS q ON q.oid = to_regclass(format('%%I.%%I', v.queue_schema, v.queue_table))
WHERE v.source_table <> 'pgknowbase_document'
ORDER BY v.id

-- pgai_state --
SELECT * FROM pgknowbase_pgai_state_v1(%(vectorizer)s)

-- is_same_table --
SELECT to_regclass(%(table)s) IS NOT DISTINCT FROM to_regclass(format('%%I.%%I', %(schema)s::text, %(of)s::text))

-- pgai_chunks --
SELECT c.place, c.waiting, c.chunk_seq, c.chunk, c.columns::text, c.version
FROM pgknowbase_pgai_chunks_v1(%(vectorizer)s, %(rows)s::jsonb) AS c ORDER BY c.place, c.chunk_seq

-- pgai_copy --
SELECT * FROM pgknowbase_pgai_copy_v1(%(vectorizer)s, %(space)s, %(source)s, %(rows)s::jsonb, %(ids)s::text[],
    %(places)s::integer[], %(olds)s::integer[], %(versions)s::text[], %(news)s::integer[], %(chunks)s::text[])

-- document_texts --
SELECT d.id, d.title, coalesce(d.content, s.content) FROM pgknowbase_document AS d
LEFT JOIN pgknowbase_read_shard_documents_v1(ARRAY[%(source)s], %(ids)s::text[]) AS s ON s.id = d.id AND s.digest = d.digest
WHERE d.source = %(source)s AND d.id = ANY (%(ids)s::text[]) AND coalesce(d.content, s.content) IS NOT NULL ORDER BY d.id

-- queue_done --
SELECT pgknowbase_queue_done_v1(%(vectorizer)s, %(source)s, %(ids)s::text[])

-- pgai_retire --
SELECT pgknowbase_pgai_retire_v1(%(vectorizer)s, %(adopted)s::jsonb)

-- pgai_restore --
SELECT pgknowbase_pgai_restore_v1(%(vectorizer)s)

-- pgai_requeue --
SELECT * FROM pgknowbase_pgai_requeue_v1(%(vectorizer)s)

-- pgai_drop --
SELECT ai.drop_vectorizer(%(vectorizer)s, drop_all => %(with_store)s)
