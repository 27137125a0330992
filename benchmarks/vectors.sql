-- Latency and recall@10 of top-10 queries over generated vectors, every kind of query in turn for each query vector.
--   psql DATABASE -v chunks=100000 -f benchmarks/vectors.sql      and then      -f benchmarks/vectors_clean.sql
-- The single queries are in pgknowbase_benchmark.result; times are the server's, planning included.
\ir vectors_data.sql
CREATE TABLE pgknowbase_benchmark.kind (
    place integer PRIMARY KEY, kind text, ef_search integer, statement text, passes text);
INSERT INTO pgknowbase_benchmark.kind
SELECT k.place, k.kind, k.ef_search, replace(replace(k.statement, '{store}', :'store'), '{dim}', :'dim'), k.passes
FROM (VALUES
    (1, 'bare, ef_search 40', 40, 'SELECT id AS object_key, source, chunk_seq, chunk, 1 - (embedding::halfvec({dim}) <=> $1)
        FROM {store} ORDER BY embedding::halfvec({dim}) <=> $1 LIMIT 10', 'true'),
    (2, 'bare, ef_search 100', 100, 'SELECT id AS object_key, source, chunk_seq, chunk, 1 - (embedding::halfvec({dim}) <=> $1)
        FROM {store} ORDER BY embedding::halfvec({dim}) <=> $1 LIMIT 10', 'true'),
    (3, 'plain', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10)', 'true'),
    (4, 'one source', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, sources => ARRAY[{small}])', 's.source = {small}'),
    (5, 'cross-model', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, sources => ARRAY[{big}, {small}])', 'true'),
    (6, 'filter passing 50 %', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, metadata => ''{"p50": true}'')',
        'e.metadata @> ''{"p50": true}'''),
    (7, 'filter passing 10 %', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, metadata => ''{"p10": true}'')',
        'e.metadata @> ''{"p10": true}'''),
    (8, 'filter passing 1 %', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, metadata => ''{"p1": true}'')',
        'e.metadata @> ''{"p1": true}'''),
    (9, 'filter passing 0.1 %', 100, 'SELECT * FROM pgknowbase_search_dense_v1($1, 10, metadata => ''{"p01": true}'')',
        'e.metadata @> ''{"p01": true}''')
) AS k (place, kind, ef_search, statement, passes);
UPDATE pgknowbase_benchmark.kind SET
    statement = replace(replace(statement, '{big}', :'big'), '{small}', :'small'),
    passes = replace(replace(passes, '{big}', :'big'), '{small}', :'small');
CREATE TABLE pgknowbase_benchmark.result (place integer, query integer, milliseconds float8, recall float8);

DO $benchmark$
DECLARE
    _kind record;
    _query record;
    _started timestamptz;
    _found text[];
    _exact text[];
    _milliseconds float8;
    _store CONSTANT text := (SELECT format('%I.%I', store_schema, store_table) FROM pgknowbase_space WHERE is_active);
    _dim CONSTANT integer := (SELECT dimensions FROM pgknowbase_space WHERE is_active);
BEGIN
    FOR _query IN SELECT q.id, q.embedding FROM pgknowbase_benchmark.query AS q ORDER BY q.id LOOP
        FOR _kind IN SELECT * FROM pgknowbase_benchmark.kind AS k ORDER BY k.place LOOP
            PERFORM set_config('hnsw.ef_search', _kind.ef_search::text, true);
            _started := clock_timestamp();
            EXECUTE format('SELECT array_agg(f.object_key) FROM (%s) AS f', _kind.statement) INTO _found USING _query.embedding;
            _milliseconds := 1000 * extract(epoch FROM clock_timestamp() - _started);
            IF _query.id % 4 = 0 THEN
                EXECUTE format(
                    'SELECT array_agg(n.id) FROM (
                        SELECT s.id FROM %s AS s
                        JOIN pgknowbase_externaldata AS e ON e.content_type_id = s.source AND e.object_key = s.id
                        WHERE %s AND s.embedding::halfvec(%s) <=> $1 <= 1 ORDER BY (s.embedding::halfvec(%s) <=> $1) + 0 LIMIT 10) AS n',
                    _store, _kind.passes, _dim, _dim) INTO _exact USING _query.embedding;
            ELSE
                _exact := NULL;
            END IF;
            INSERT INTO pgknowbase_benchmark.result VALUES (_kind.place, _query.id, _milliseconds, (
                SELECT count(*) FILTER (WHERE x.key = ANY (_found))::float8 / nullif(count(*), 0)
                FROM unnest(_exact) AS x (key)));
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
