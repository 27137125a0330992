-- The embedding spaces beside what the catalogs say of their stores.
SELECT s.name, s.is_active, s.dimensions, s.ef_search, r.store::text AS store, a.atttypmod AS stored_dimensions,
    v.id IS NOT NULL AS has_vectorizer, (v.config -> 'embedding' ->> 'dimensions')::int AS vectorizer_dimensions,
    coalesce(pg_table_size(r.store), 0) AS bytes,
    quote_ident(s.store_table || '_hnsw') AS index_name,
    EXISTS (
        SELECT 1 FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
        WHERE i.indrelid = r.store AND m.amname = 'hnsw' AND i.indpred IS NULL) AS has_index
FROM pgknowbase_space AS s
CROSS JOIN LATERAL (
    SELECT to_regclass(quote_ident(s.store_schema) || '.' || quote_ident(s.store_table)) AS store
) AS r
LEFT JOIN pg_attribute AS a ON a.attrelid = r.store AND a.attname = 'embedding'
LEFT JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
ORDER BY s.id
