-- The nearest 10 of two source models.
-- pgbench -n -c 2 -j 2 -T 10 -D queries=200 -f benchmarks/vectors_cross_model.sql
\set q random(1, :queries)
SELECT * FROM pgknowbase_search_dense_v1(
    (SELECT embedding FROM pgknowbase_benchmark.query WHERE id = :q), 10, pgknowbase_filter_v1((SELECT ARRAY[big, small] FROM pgknowbase_benchmark.source)));
