-- Fills the index with generated objects, for the queries beside this file: clustered vectors, and text to search.
--   psql DATABASE -v chunks=100000 -f benchmarks/vectors_data.sql
-- Two source models hold 80 % and 20 % of the objects, one chunk each. What an earlier run left is replaced, and the
-- indexes of vectors and words are made anew: not for production.
-- An object's metadata says which filters it passes: {"p10": true} stands on one object in ten.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?chunks} \else \set chunks 10000 \endif
\if :{?queries} \else \set queries 200 \endif
\if :{?centres} \else \set centres 1000 \endif
\if :{?noise} \else \set noise 0.6 \endif
\if :{?memory} \else \set memory '1GB' \endif
\ir vectors_clean.sql

SELECT id AS space, format('%I.%I', store_schema, store_table) AS store, dimensions AS dim,
    format('%I.%I', store_schema, store_table || '_hnsw') AS index,
    format('CREATE INDEX %I ON %I.%I USING hnsw (%s) WITH (m = 16, ef_construction = 200)',
        store_table || '_hnsw', store_schema, store_table, pgknowbase_index_column_v1(index, dimensions)) AS indexdef
FROM pgknowbase_space WHERE is_active \gset
SELECT pg_get_indexdef('pgknowbase_keywords_words'::regclass) AS wordsdef \gset
SELECT setseed(0.42) AS seed \gset
SET synchronous_commit = off;
SET maintenance_work_mem = :'memory';
SET max_parallel_maintenance_workers = 2;
SET max_parallel_workers_per_gather = 2;
SET jit = off;

-- A vector is a centre and two pieces of noise, each drawn from a pool: far quicker than a new random number for each.
CREATE SCHEMA pgknowbase_benchmark;
CREATE TABLE pgknowbase_benchmark.pool AS
SELECT kind, id, (
    SELECT array_agg((random() - 0.5) * scale + 0 * (d + id)) FROM generate_series(1, :dim) AS d
)::vector(:dim) AS v
FROM (VALUES ('centre', :centres, 1.0), ('a', 1009, :noise), ('b', 997, :noise)) AS k (kind, size, scale),
    generate_series(0, size - 1) AS id;
ALTER TABLE pgknowbase_benchmark.pool ADD PRIMARY KEY (kind, id);
CREATE UNLOGGED TABLE pgknowbase_benchmark.drawn AS
SELECT i, centre, l2_normalize(c.v + a.v + b.v) AS v
FROM (
    SELECT i, floor(random() * :centres)::int AS centre, floor(random() * 1009)::int AS a, floor(random() * 997)::int AS b
    FROM generate_series(1, :chunks + :queries) AS i
) AS d
JOIN pgknowbase_benchmark.pool AS c ON c.kind = 'centre' AND c.id = d.centre
JOIN pgknowbase_benchmark.pool AS a ON a.kind = 'a' AND a.id = d.a
JOIN pgknowbase_benchmark.pool AS b ON b.kind = 'b' AND b.id = d.b;
ANALYZE pgknowbase_benchmark.drawn;

-- 50,000 made-up words. A text has 60 to 150, six in seven drawn by Zipf's law, flattened at the top since a text
-- search leaves out the stop words: the first stands in about half of the texts. The others are of the 45 of its centre.
SELECT array_agg(
    format('%s%s%s', substr(syllables, 1 + n % 100 * 2, 2), substr(syllables, 1 + n / 100 % 100 * 2, 2),
        substr(syllables, 1 + n / 10000 * 2, 2)) ORDER BY r) AS words
FROM (SELECT r, r * 7919 % 1000000 AS n FROM generate_series(1, 50000) AS r) AS v,
    (SELECT string_agg(c || w, '') AS syllables
    FROM unnest(string_to_array('b c d f g h j k l m n p r s t v w x y z', ' ')) AS c,
        unnest(ARRAY['a', 'e', 'i', 'o', 'u']) AS w) AS s \gset
CREATE FUNCTION pgknowbase_benchmark.rank(chance float8) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 1 + floor(20 * (exp(chance * ln(2501)) - 1))::integer;
CREATE FUNCTION pgknowbase_benchmark.chance(place bigint, seed bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(place, seed) & 2147483647) / 2147483648.0::float8;
CREATE UNLOGGED TABLE pgknowbase_benchmark.text AS
SELECT d.i, CASE WHEN d.i % 5 = 0 THEN 'small' ELSE 'big' END AS model, (
    SELECT string_agg((:'words'::name[])[CASE
        WHEN pgknowbase_benchmark.chance(d.i * 1000 + p, 1) < 1 / 7.0 THEN
            5001 + 45 * (d.centre % 1000) + floor(45 * pgknowbase_benchmark.chance(d.i * 1000 + p, 2) ^ 2)::integer
        ELSE pgknowbase_benchmark.rank(pgknowbase_benchmark.chance(d.i * 1000 + p, 2)) END], ' ')
    FROM generate_series(1, 60 + d.i * 7919::bigint % 91) AS p) AS content
FROM pgknowbase_benchmark.drawn AS d WHERE d.i <= :chunks;

-- A query has a vector and two to six words. Of four, one has common words alone, the 30 first; one common words and
-- others; one the words of its centre; one whatever words Zipf's law brings.
CREATE TABLE pgknowbase_benchmark.query AS
SELECT d.i - :chunks AS id, d.v::halfvec(:dim) AS embedding, d.i % 4 = 0 AS common, (
    SELECT string_agg((:'words'::name[])[CASE
        WHEN d.i % 4 = 0 OR d.i % 4 = 1 AND p % 2 = 0 THEN 1 + floor(30 * random())::integer
        WHEN d.i % 4 < 3 THEN 5001 + 45 * (d.centre % 1000) + floor(45 * random() ^ 2)::integer
        ELSE pgknowbase_benchmark.rank(random()) END], ' ')
    FROM generate_series(1, 2 + d.i / 4 % 5) AS p) AS words
FROM pgknowbase_benchmark.drawn AS d WHERE d.i > :chunks;
ALTER TABLE pgknowbase_benchmark.query ADD PRIMARY KEY (id);

INSERT INTO django_content_type (app_label, model)
VALUES ('pgknowbase_benchmark', 'big'), ('pgknowbase_benchmark', 'small');
SELECT max(id) FILTER (WHERE model = 'big') AS big, max(id) FILTER (WHERE model = 'small') AS small
FROM django_content_type WHERE app_label = 'pgknowbase_benchmark' \gset
CREATE VIEW pgknowbase_benchmark.source AS SELECT :big AS big, :small AS small;

DROP INDEX IF EXISTS :index;
INSERT INTO :store (source, id, chunk_seq, chunk, embedding, tokens)
SELECT CASE WHEN i % 5 = 0 THEN :small ELSE :big END, i::text, 0, t.content, d.v, 100
FROM pgknowbase_benchmark.drawn AS d JOIN pgknowbase_benchmark.text AS t USING (i) ORDER BY i;
:indexdef;

INSERT INTO pgknowbase_externaldata (
    source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public, is_active,
    similarity_threshold, status, error, attempts, chunk_count, vectors, vectors_space)
SELECT 'model', CASE WHEN i % 5 = 0 THEN :small ELSE :big END, i::text, 'object ' || i, '', '',
    jsonb_build_object('p50', r < 0.5, 'p10', r < 0.1, 'p1', r < 0.01, 'p01', r < 0.001, 'p001', r < 0.0001), '{}',
    true, true, 0, 'completed', '', 0, 1, ARRAY[v::halfvec(:dim)::halfvec], :space
FROM (SELECT i, random() AS r, d.v FROM pgknowbase_benchmark.drawn AS d WHERE i <= :chunks ORDER BY i) AS o;

-- What the triggers would do is done by hand: nothing is to be embedded, and the words are made all at once.
ALTER TABLE pgknowbase_document DISABLE TRIGGER USER;
INSERT INTO pgknowbase_document (source, id, title, content, language)
SELECT CASE WHEN i % 5 = 0 THEN :small ELSE :big END, i::text, '', content, 'english'
FROM pgknowbase_benchmark.text ORDER BY i;
ALTER TABLE pgknowbase_document ENABLE TRIGGER USER;
CREATE UNLOGGED TABLE pgknowbase_benchmark.words AS
SELECT source, id, words, (SELECT sum(cardinality(u.positions))::integer FROM unnest(words) AS u) AS length
FROM (
    SELECT d.source, d.id, pgknowbase_tokenize_ascii('english', d.content) AS words
    FROM pgknowbase_document AS d WHERE d.source IN (:big, :small) OFFSET 0
) AS d;
DROP INDEX pgknowbase_keywords_words;
INSERT INTO pgknowbase_keywords (source, id, language, maker, words, length, stale, number)
SELECT source, id, 'english', pgknowbase_word_maker('english'), words, length, false, nextval('pgknowbase_keywords_numbers')
FROM pgknowbase_benchmark.words;
:wordsdef;
INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
SELECT k.source, 'english', pgknowbase_word_maker('english'), count(*), sum(k.length) FROM pgknowbase_keywords AS k
WHERE k.source IN (:big, :small) GROUP BY k.source;

DROP TABLE pgknowbase_benchmark.drawn, pgknowbase_benchmark.pool, pgknowbase_benchmark.text, pgknowbase_benchmark.words;
VACUUM ANALYZE :store;
VACUUM ANALYZE pgknowbase_externaldata;
VACUUM ANALYZE pgknowbase_document;
VACUUM ANALYZE pgknowbase_keywords;
ANALYZE pgknowbase_benchmark.query;
SELECT pgknowbase_word_sample() AS sampled \gset
DO $$ BEGIN WHILE pgknowbase_postings_gather_v1() > 0 LOOP END LOOP; END $$;
VACUUM ANALYZE pgknowbase_postings;
