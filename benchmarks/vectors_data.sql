-- Fills the active embedding space with clustered vectors, for the vector queries beside this file.
--   psql DATABASE -v chunks=100000 -f benchmarks/vectors_data.sql
-- Two source models hold 80 % and 20 % of the objects, one chunk each. What an earlier run left is replaced.
-- An object's metadata says which filters it passes: {"p10": true} stands on one object in ten.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?chunks} \else \set chunks 10000 \endif
\if :{?queries} \else \set queries 200 \endif
\if :{?centres} \else \set centres 1000 \endif
\if :{?noise} \else \set noise 0.6 \endif
\ir vectors_clean.sql

SELECT format('%I.%I', store_schema, store_table) AS store, dimensions AS dim,
    format('%I.%I', store_schema, store_table || '_hnsw') AS index,
    pg_get_indexdef(format('%I.%I', store_schema, store_table || '_hnsw')::regclass) AS indexdef
FROM pgknowbase_space WHERE is_active \gset
SELECT setseed(0.42) AS seed \gset

-- A vector is a centre and two pieces of noise, each drawn from a pool: far quicker than a new random number for each.
CREATE SCHEMA pgknowbase_benchmark;
CREATE TABLE pgknowbase_benchmark.pool AS
SELECT kind, id, (
    SELECT array_agg((random() - 0.5) * scale + 0 * (d + id)) FROM generate_series(1, :dim) AS d
)::vector(:dim) AS v
FROM (VALUES ('centre', :centres, 1.0), ('a', 1009, :noise), ('b', 997, :noise)) AS k (kind, size, scale),
    generate_series(0, size - 1) AS id;
ALTER TABLE pgknowbase_benchmark.pool ADD PRIMARY KEY (kind, id);
CREATE TABLE pgknowbase_benchmark.drawn AS
SELECT i, l2_normalize(c.v + a.v + b.v) AS v
FROM (
    SELECT i, floor(random() * :centres)::int AS centre, floor(random() * 1009)::int AS a, floor(random() * 997)::int AS b
    FROM generate_series(1, :chunks + :queries) AS i
) AS d
JOIN pgknowbase_benchmark.pool AS c ON c.kind = 'centre' AND c.id = d.centre
JOIN pgknowbase_benchmark.pool AS a ON a.kind = 'a' AND a.id = d.a
JOIN pgknowbase_benchmark.pool AS b ON b.kind = 'b' AND b.id = d.b;
CREATE TABLE pgknowbase_benchmark.query AS
SELECT i - :chunks AS id, v::halfvec(:dim) AS embedding FROM pgknowbase_benchmark.drawn WHERE i > :chunks;
ALTER TABLE pgknowbase_benchmark.query ADD PRIMARY KEY (id);

INSERT INTO django_content_type (app_label, model)
VALUES ('pgknowbase_benchmark', 'big'), ('pgknowbase_benchmark', 'small');
SELECT max(id) FILTER (WHERE model = 'big') AS big, max(id) FILTER (WHERE model = 'small') AS small
FROM django_content_type WHERE app_label = 'pgknowbase_benchmark' \gset
CREATE VIEW pgknowbase_benchmark.source AS SELECT :big AS big, :small AS small;

INSERT INTO pgknowbase_externaldata (
    source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public, is_active,
    similarity_threshold, status, error, attempts, chunk_count)
SELECT 'model', CASE WHEN i % 5 = 0 THEN :small ELSE :big END, i::text, 'object ' || i, '', '',
    jsonb_build_object('p50', r < 0.5, 'p10', r < 0.1, 'p1', r < 0.01, 'p01', r < 0.001), '{}', true, true,
    0, 'completed', '', 0, 1
FROM (SELECT i, random() AS r FROM generate_series(1, :chunks) AS i) AS o;

DROP INDEX :index;
INSERT INTO :store (source, id, chunk_seq, chunk, embedding, tokens)
SELECT CASE WHEN i % 5 = 0 THEN :small ELSE :big END, i::text, 0, repeat('text ' || i || ' ', 50), v, 100
FROM pgknowbase_benchmark.drawn WHERE i <= :chunks ORDER BY i;
SET maintenance_work_mem = '512MB';
SET max_parallel_maintenance_workers = 2;
:indexdef;
DROP TABLE pgknowbase_benchmark.drawn, pgknowbase_benchmark.pool;
VACUUM ANALYZE :store;
VACUUM ANALYZE pgknowbase_externaldata;
ANALYZE pgknowbase_benchmark.query;
