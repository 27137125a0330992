-- The kinds of queries that vectors.sql measures. $1 is a query's vector, $2 its words; truth brings the keys of the best
-- ten. Filters are measured three ways: the function, the index walked until ten pass, and a comparison with all that do.
CREATE TABLE pgknowbase_benchmark.kind (
    place integer PRIMARY KEY, kind text, settings jsonb, statement text, truth text, is_exact boolean, common boolean);

WITH space AS (
    SELECT format('%I.%I', s.store_schema, s.store_table) AS store,
        format('(s.embedding::halfvec(%s) <=> $1)', s.dimensions) AS distance
    FROM pgknowbase_space AS s WHERE s.is_active
), bare (limited) AS (
    SELECT format('SELECT s.id AS object_key, s.source, s.chunk_seq, s.chunk, 1 - %s FROM %s AS s', distance, store)
    || '%s WHERE NOT s.is_copy AND %s ORDER BY ' || distance || ' LIMIT 10' FROM space
), truth (limited) AS (
    SELECT format('SELECT s.id AS object_key FROM %s AS s', store)
    || ' JOIN pgknowbase_externaldata AS e ON e.content_type_id = s.source AND e.object_key = s.id WHERE %s ORDER BY '
    || distance || ' + 0 LIMIT 10' FROM space
), filter (place, share, passes) AS (
    SELECT f.place, f.share, format('{"%s": true}', f.key)
    FROM (VALUES (10, '50', 'p50'), (20, '10', 'p10'), (30, '1', 'p1'), (40, '0.1', 'p01'), (50, '0.01', 'p001'))
        AS f (place, share, key)
)
INSERT INTO pgknowbase_benchmark.kind
SELECT 1, 'bare, ef_search 40', '{"hnsw.ef_search": "40"}'::jsonb, format(b.limited, '', 'true'),
    format(t.limited, 'true'), false, NULL::boolean FROM bare AS b, truth AS t
UNION ALL
SELECT 2, 'bare, ef_search 100', '{"hnsw.ef_search": "100"}', format(b.limited, '', 'true'), format(t.limited, 'true'),
    false, NULL FROM bare AS b, truth AS t
UNION ALL
SELECT 3, 'plain', '{}', 'SELECT * FROM pgknowbase_search_dense_v1($1, 10)', format(t.limited, 'true'), false, NULL
FROM truth AS t
UNION ALL
SELECT 4, 'one source', '{}', format('SELECT * FROM pgknowbase_search_dense_v1($1, 10, pgknowbase_filter_v1(ARRAY[%s]))', s.small),
    format(t.limited, format('s.source = %s', s.small)), false, NULL FROM truth AS t, pgknowbase_benchmark.source AS s
UNION ALL
SELECT 5, 'cross-model', '{}',
    format('SELECT * FROM pgknowbase_search_dense_v1($1, 10, pgknowbase_filter_v1(ARRAY[%s, %s]))', s.big, s.small),
    format(t.limited, 'true'), false, NULL FROM truth AS t, pgknowbase_benchmark.source AS s
UNION ALL
SELECT f.place, format('filter passing %s %%', f.share), '{}',
    format('SELECT * FROM pgknowbase_search_dense_v1($1, 10, pgknowbase_filter_v1(threshold => -1, metadata => %L))', f.passes),
    format(t.limited, format('e.metadata @> %L', f.passes)), false, NULL FROM filter AS f, truth AS t
UNION ALL
SELECT f.place + 1, format('filter passing %s %%, iterative scan', f.share),
    '{"hnsw.ef_search": "100", "hnsw.iterative_scan": "strict_order", "enable_sort": "off", "enable_seqscan": "off"}',
    format(b.limited, ' JOIN pgknowbase_externaldata AS e ON e.content_type_id = s.source AND e.object_key = s.id',
        format('e.metadata @> %L', f.passes)),
    format(t.limited, format('e.metadata @> %L', f.passes)), false, NULL FROM filter AS f, truth AS t, bare AS b
UNION ALL
SELECT f.place + 2, format('filter passing %s %%, exact', f.share), '{}',
    format('SELECT * FROM pgknowbase_search_exact_v1($1, 10, pgknowbase_filter_v1(threshold => -1, metadata => %L))', f.passes),
    format(t.limited, format('e.metadata @> %L', f.passes)), true, NULL FROM filter AS f, truth AS t
UNION ALL
SELECT k.place, k.kind, '{}', 'SELECT * FROM pgknowbase_search_keyword_v1($2, 10)',
    'SELECT h.object_key FROM (
        SELECT b.object_key, rank() OVER (ORDER BY round(b.score::numeric, 9) DESC) AS place
        FROM pgknowbase_bm25($2, 50, most_candidates => 2147483647) AS b
    ) AS h WHERE h.place <= 10', false, k.common
FROM (VALUES (60, 'keyword', false), (61, 'keyword, common words alone', true)) AS k (place, kind, common)
UNION ALL
SELECT 70, 'hybrid', '{}', 'SELECT * FROM pgknowbase_search_hybrid_v1($2, $1, 10)',
    'SELECT h.object_key FROM (
        SELECT b.object_key, rank() OVER (ORDER BY round(b.score::numeric, 9) DESC) AS place
        FROM pgknowbase_search_hybrid_v1(
            $2, $1, 30, most_candidates => 2147483647, exact_search_max_chunks => 2147483647) AS b
    ) AS h WHERE h.place <= 10', false, NULL;
