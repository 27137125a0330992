-- The nearest 10 of one source model, which has 20 % of the objects.
-- pgbench -n -c 2 -j 2 -T 10 -D queries=200 -f benchmarks/vectors_one_source.sql
\set q random(1, :queries)
SELECT * FROM pgknowbase_search_dense_v1(
    (SELECT embedding FROM pgknowbase_benchmark.query WHERE id = :q), 10,
    pgknowbase_filter_v1((SELECT ARRAY[small] FROM pgknowbase_benchmark.source)));
