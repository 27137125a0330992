-- The calls that benchmarks/compare_versions.py times: `-- name --` blocks with the parameters vector, words, source, key and
-- rendered. filter passing 10 %: metadata {"p10": true}; the rows are those of vectors_data.sql.

-- dense --
SELECT * FROM pgknowbase_search_dense_v1(%(vector)s::halfvec, 10);
-- dense, one source --
SELECT * FROM pgknowbase_search_dense_v1(%(vector)s::halfvec, 10, pgknowbase_filter_v1(ARRAY[%(source)s]));
-- dense, as from Python --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, jsonb_populate_record(NULL::pgknowbase_filter, '{"metadata": {"p50": true}}'),
    skip => 0, exact_search_max_chunks => 15000, space_model => NULL, record_plan => false);
-- dense, filter passing 50 % --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, metadata => '{"p50": true}'));
-- dense, filter passing 10 % --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, metadata => '{"p10": true}'));
-- dense, filter passing 1 % --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, metadata => '{"p1": true}'));
-- dense, filter passing 0.1 % --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, metadata => '{"p01": true}'));
-- dense, visible to a user --
SELECT * FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, visible_to => '1'));
-- exact, filter passing 1 % --
SELECT * FROM pgknowbase_search_exact_v1(
    %(vector)s::halfvec, 10, pgknowbase_filter_v1(threshold => -1, metadata => '{"p1": true}'));
-- keyword --
SELECT * FROM pgknowbase_search_keyword_v1(%(words)s, 10);
-- keyword, common words alone --
SELECT * FROM pgknowbase_search_keyword_v1(%(words)s, 10);
-- keyword, filter passing 10 % --
SELECT * FROM pgknowbase_search_keyword_v1(%(words)s, 10, pgknowbase_filter_v1(metadata => '{"p10": true}'));
-- keyword, filter passing 1 % --
SELECT * FROM pgknowbase_search_keyword_v1(%(words)s, 10, pgknowbase_filter_v1(metadata => '{"p1": true}'));
-- hybrid --
SELECT * FROM pgknowbase_search_hybrid_v1(%(words)s, %(vector)s::halfvec, 10);
-- hybrid, filter passing 10 % --
SELECT * FROM pgknowbase_search_hybrid_v1(
    %(words)s, %(vector)s::halfvec, 10, pgknowbase_filter_v1(metadata => '{"p10": true}'));
-- hybrid, filter passing 1 % --
SELECT * FROM pgknowbase_search_hybrid_v1(
    %(words)s, %(vector)s::halfvec, 10, pgknowbase_filter_v1(metadata => '{"p1": true}'));
-- similar --
SELECT * FROM pgknowbase_similar_v1(ARRAY[%(source)s]::int[], ARRAY[%(key)s], 10);
-- similar, filter passing 10 % --
SELECT * FROM pgknowbase_similar_v1(
    ARRAY[%(source)s]::int[], ARRAY[%(key)s], 10, pgknowbase_filter_v1(threshold => -1, visible_to => '', metadata => '{"p10": true}'));
-- pending --
SELECT * FROM pgknowbase_search_pending_v1(%(words)s, %(rendered)s::jsonb, 1000);
-- pending, filter passing 10 % --
SELECT * FROM pgknowbase_search_pending_v1(
    %(words)s, %(rendered)s::jsonb, 1000, '{}', pgknowbase_filter_v1(metadata => '{"p10": true}'));
