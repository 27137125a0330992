-- What the dense search sets for itself: 'hnsw.ef_search=100' and more.
SELECT coalesce(p.proconfig, '{}')
FROM pg_proc AS p
WHERE p.proname = 'pgknowbase_search_dense_v1' AND pg_function_is_visible(p.oid)
LIMIT 1
