-- Top 10 by the index alone, as pgvector's documentation writes it, at the ef_search that our function sets.
-- pgbench -n -c 2 -j 2 -T 10 -D queries=200 -D store=pgknowbase_store_1 -D dim=256 -f benchmarks/vectors_bare.sql
\set q random(1, :queries)
SET hnsw.ef_search = 100;
SELECT source, id, chunk_seq, chunk,
    1 - (embedding::halfvec(:dim) <=> (SELECT embedding FROM pgknowbase_benchmark.query WHERE id = :q)) AS similarity
FROM :store WHERE NOT is_copy
ORDER BY embedding::halfvec(:dim) <=> (SELECT embedding FROM pgknowbase_benchmark.query WHERE id = :q) LIMIT 10;
