-- The best 10 of all objects by their words.
-- pgbench -n -c 2 -j 2 -T 10 -D queries=200 -f benchmarks/vectors_keyword.sql
\set q random(1, :queries)
SELECT * FROM pgknowbase_search_keyword_v1((SELECT words FROM pgknowbase_benchmark.query WHERE id = :q), 10);
