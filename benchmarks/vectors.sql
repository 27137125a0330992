-- Latency and recall@10 of top-10 queries over generated objects, every kind of query in turn for each query.
--   psql DATABASE -v chunks=100000 -f benchmarks/vectors.sql      and then      -f benchmarks/vectors_clean.sql
-- The single queries are in pgknowbase_benchmark.result; times are the server's, planning included.
-- Of the queries, the first :exact are compared with what exact search finds; those that are exact run for these alone.
\if :{?exact} \else \set exact 50 \endif
\ir vectors_data.sql
\ir vectors_kinds.sql
CREATE TABLE pgknowbase_benchmark.result (place integer, query integer, milliseconds float8, recall float8);
SELECT set_config('pgknowbase_benchmark.exact', :'exact', false) AS exact \gset

DO $benchmark$
DECLARE
    _kind record;
    _query record;
    _exact CONSTANT integer := current_setting('pgknowbase_benchmark.exact')::integer;
    _started timestamptz;
    _found text[];
    _true text[];
    _milliseconds float8;
BEGIN
    FOR _query IN SELECT q.* FROM pgknowbase_benchmark.query AS q ORDER BY q.id LOOP
        FOR _kind IN
            SELECT * FROM pgknowbase_benchmark.kind AS k
            WHERE (k.common IS NULL OR k.common = _query.common) AND (_query.id <= _exact OR NOT k.is_exact)
            ORDER BY k.place
        LOOP
            PERFORM set_config(s.name, s.value, true) FROM jsonb_each_text(_kind.settings) AS s (name, value);
            _started := clock_timestamp();
            EXECUTE format('SELECT array_agg(f.object_key) FROM (%s) AS f', _kind.statement) INTO _found
            USING _query.embedding, _query.words;
            _milliseconds := 1000 * extract(epoch FROM clock_timestamp() - _started);
            PERFORM set_config(s.name, s.value, true)
            FROM jsonb_each_text('{"hnsw.iterative_scan": "off", "enable_sort": "on", "enable_seqscan": "on"}') AS s (name, value);
            _true := NULL;
            IF _query.id <= _exact THEN
                EXECUTE format('SELECT array_agg(f.object_key) FROM (%s) AS f', _kind.truth) INTO _true
                USING _query.embedding, _query.words;
            END IF;
            -- Of several that are as good as the tenth, whichever is found will do.
            INSERT INTO pgknowbase_benchmark.result VALUES (_kind.place, _query.id, _milliseconds, (
                SELECT least(1, count(*) FILTER (WHERE x.key = ANY (_found))::float8 / nullif(least(10, count(*)), 0))
                FROM unnest(_true) AS x (key)));
        END LOOP;
    END LOOP;
END
$benchmark$;

CREATE VIEW pgknowbase_benchmark.summary AS
SELECT k.place, k.kind, count(*) AS queries,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.milliseconds)::numeric, 3)::float8 AS p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY r.milliseconds)::numeric, 3)::float8 AS p95,
    round((percentile_cont(0.5) WITHIN GROUP (ORDER BY r.milliseconds / b.milliseconds))::numeric, 2)::float8 AS ratio,
    min(r.milliseconds) AS low, max(r.milliseconds) AS high,
    round(avg(r.recall)::numeric, 4)::float8 AS recall
FROM pgknowbase_benchmark.kind AS k
JOIN pgknowbase_benchmark.result AS r USING (place)
JOIN pgknowbase_benchmark.result AS b ON b.place = 2 AND b.query = r.query
GROUP BY k.place, k.kind;
SELECT kind, queries, p50 AS "p50 ms", p95 AS "p95 ms", ratio AS "x bare", recall AS "recall@10"
FROM pgknowbase_benchmark.summary ORDER BY place;

CREATE VIEW pgknowbase_benchmark.size AS
SELECT p.place, p.part, p.bytes, p.bytes::float8 / (SELECT count(*) FROM pgknowbase_chunk) AS per_chunk
FROM (
    SELECT format('%I.%I', s.store_schema, s.store_table)::regclass AS store,
        format('%I.%I', s.store_schema, s.store_table || '_hnsw')::regclass AS dense
    FROM pgknowbase_space AS s WHERE s.is_active
) AS s CROSS JOIN LATERAL (VALUES
    (1, 'chunk store, with vectors', pg_table_size(s.store)),
    (2, 'its vector index', pg_relation_size(s.dense)),
    (3, 'its other indexes', pg_indexes_size(s.store) - pg_relation_size(s.dense)),
    (4, 'words', pg_table_size('pgknowbase_keywords')),
    (5, 'their index', pg_relation_size('pgknowbase_keywords_words')),
    (6, 'their other indexes', pg_indexes_size('pgknowbase_keywords') - pg_relation_size('pgknowbase_keywords_words')),
    (7, 'postings of common words, with index', pg_total_relation_size('pgknowbase_postings')),
    (8, 'postings of other words, with index', pg_total_relation_size('pgknowbase_rare_postings')),
    (9, 'documents, with indexes', pg_total_relation_size('pgknowbase_document')),
    (10, 'external data, with indexes', pg_total_relation_size('pgknowbase_externaldata'))
) AS p (place, part, bytes);
SELECT part, bytes, round(per_chunk::numeric) AS "bytes per chunk" FROM pgknowbase_benchmark.size ORDER BY place;
