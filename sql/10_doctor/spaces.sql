-- The embedding spaces beside what the catalogs say of their stores.
SELECT s.name, s.is_active, s.dimensions, s.ef_search, s.storage, s.index, s.chunk_bytes, r.store::text AS store,
    y.typname AS stored_as, a.atttypmod AS stored_dimensions,
    v.id IS NOT NULL AS has_vectorizer, (v.config -> 'embedding' ->> 'dimensions')::int AS vectorizer_dimensions,
    coalesce(pg_table_size(r.store), 0) AS bytes,
    quote_ident(s.store_table || '_hnsw') AS index_name,
    pgknowbase_index_column_v1(s.index, s.dimensions) AS index_column,
    EXISTS (
        SELECT 1 FROM pgknowbase_indexes AS i
        WHERE i.space_id = s.id AND i.source IS NULL AND i.kind = s.index AND i.dimensions = s.dimensions) AS has_index,
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
