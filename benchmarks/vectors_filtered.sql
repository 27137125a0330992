-- The nearest 10 of the objects that pass a metadata filter: p50, p10, p1, p01 or p001 (per cent).
-- pgbench -n -c 2 -j 2 -T 10 -D queries=200 -D pass=p10 -f benchmarks/vectors_filtered.sql
\set q random(1, :queries)
SELECT * FROM pgknowbase_search_dense_v1(
    (SELECT embedding FROM pgknowbase_benchmark.query WHERE id = :q), 10,
    pgknowbase_filter_v1(metadata => jsonb_build_object(':pass', true)));
