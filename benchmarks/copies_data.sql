-- Clusters of vectors around directions that have something in common, and one vector that lies between them all, as that of
-- a form letter does, stored :letters times. Rows of the active space's store without documents, and without the vector
-- index, which copies.py makes. vectors_clean.sql removes them.
\set ON_ERROR_STOP on
\set QUIET on
SET synchronous_commit = off;
SET jit = off;
SELECT format('%I.%I', store_schema, store_table) AS store, dimensions AS dim,
    format('%I.%I', store_schema, store_table || '_hnsw') AS index
FROM pgknowbase_space WHERE is_active \gset
SELECT setseed(0.42) AS seed \gset
DROP INDEX IF EXISTS :index;
\ir vectors_clean.sql
CREATE SCHEMA pgknowbase_benchmark;
INSERT INTO django_content_type (app_label, model) VALUES ('pgknowbase_benchmark', 'letter') RETURNING id AS source \gset

CREATE TABLE pgknowbase_benchmark.centre AS
WITH common AS MATERIALIZED (SELECT array_agg(random() - 0.5)::vector(:dim) AS v FROM generate_series(1, :dim))
SELECT n, l2_normalize(l2_normalize(c.v) + l2_normalize(
    (SELECT array_agg(random() - 0.5 + 0 * (d + n)) FROM generate_series(1, :dim) AS d)::vector(:dim))) AS v
FROM common AS c, generate_series(1, :clusters) AS n;
CREATE UNLOGGED TABLE pgknowbase_benchmark.drawn AS
SELECT l2_normalize(c.v + (
    SELECT array_agg((random() - 0.5) / sqrt(:dim) + 0 * (d + m + c.n)) FROM generate_series(1, :dim) AS d
)::vector(:dim)) AS v, 'one of a cluster' AS chunk
FROM pgknowbase_benchmark.centre AS c, generate_series(1, 100) AS m
UNION ALL
SELECT (SELECT l2_normalize(avg(v)) FROM pgknowbase_benchmark.centre), 'letter' FROM generate_series(1, :letters);
INSERT INTO :store (source, id, chunk_seq, chunk, embedding)
SELECT :source, row_number() OVER (ORDER BY random()), 0, chunk, v FROM pgknowbase_benchmark.drawn ORDER BY 2;
INSERT INTO pgknowbase_externaldata (
    source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public, is_active,
    similarity_threshold, status, error, attempts, chunk_count)
SELECT 'custom', source, id, '', '', '', '{}', '{}', true, true, 0, 'completed', '', 0, 1 FROM :store;
DROP TABLE pgknowbase_benchmark.drawn;
VACUUM ANALYZE :store;
VACUUM ANALYZE pgknowbase_externaldata;
