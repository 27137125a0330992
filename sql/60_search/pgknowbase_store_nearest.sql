-- The chunks of a distributed store nearest to a vector: of each shard its own, merged by Citus, at_most of them and their
-- copies (pgknowbase_mark_copy). Statements with a LIMIT, no join and no subquery: they go to the shards as they are.
--
--   ef_search       walk the vector index of each shard with it; NULL: compare every chunk
--   only_source, only_sources, only_ids   chunks of these sources, and of these documents alone; NULL: of all
--
-- Where the search is to answer without some servers, from the others: see pgknowbase_shards_that_answer.
CREATE OR REPLACE FUNCTION pgknowbase_store_nearest(
    store text, dimensions integer, query halfvec, at_most bigint, ef_search bigint, only_source integer,
    only_sources integer[], only_ids text[])
RETURNS TABLE (source integer, id text, chunk_seq integer, chunk text, similarity float8)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _distance text := format('c.embedding::halfvec(%s) <=> $1', dimensions);
    _next record;
    _keys uuid[] := '{}';
    _nearest float8[] := '{}';
BEGIN
    IF pgknowbase_is_partial_v1() THEN
        -- The copies of a vector are on the shard that tells it. The condition that sets is evaluated before the walk begins.
        _distance := format('c.embedding::%1$s.halfvec(%2$s) OPERATOR(%1$s.<=>) %3$L::%1$s.halfvec', (
            SELECT quote_ident(n.nspname) FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace
            WHERE x.extname = 'vector'), dimensions, query);
        RETURN QUERY
        SELECT r.*
        FROM pgknowbase_shards_that_answer(store, format(CASE WHEN ef_search IS NULL THEN $sql$
            SELECT c.source, c.id, c.chunk_seq, c.chunk, 1 - (%1$s) AS similarity FROM <\shard> AS c
            WHERE (%4$L IS NULL OR c.source = %4$L) AND (%5$L IS NULL OR c.source = ANY (%5$L)) AND (%6$L IS NULL OR c.id = ANY (%6$L))
            ORDER BY (%1$s) + 0 LIMIT %2$s
            $sql$ ELSE $sql$
            WITH near AS MATERIALIZED (
                SELECT c.source, c.id, c.chunk_seq, c.chunk, c.vector_key, 1 - (%1$s) AS similarity FROM <\shard> AS c
                WHERE NOT c.is_copy AND (%4$L IS NULL OR c.source = %4$L) AND (
                    SELECT set_config('hnsw.ef_search', '%3$s', true) || set_config('hnsw.iterative_scan', 'strict_order', true))
                    IS NOT NULL
                ORDER BY %1$s LIMIT %2$s
            )
            SELECT n.source, n.id, n.chunk_seq, n.chunk, n.similarity FROM near AS n
            UNION ALL
            SELECT c.source, c.id, c.chunk_seq, c.chunk, n.similarity FROM near AS n
            JOIN <\shard> AS c ON c.vector_key = n.vector_key WHERE c.is_copy
            $sql$ END, _distance, at_most, ef_search, only_source, only_sources, only_ids)) AS f
        CROSS JOIN LATERAL jsonb_to_record(f) AS r (source integer, id text, chunk_seq integer, chunk text, similarity float8)
        ORDER BY r.similarity DESC LIMIT at_most;
        RETURN;
    END IF;
    PERFORM pgknowbase_limit_connecting(ef_search IS NULL AND only_ids IS NULL);
    -- Settings reach the shards by SET LOCAL alone.
    SET LOCAL citus.propagate_set_commands = 'local';
    SET LOCAL jit = 'off';
    IF ef_search IS NULL THEN
        SET LOCAL enable_sort = 'on'; -- if a walk came before
        SET LOCAL citus.propagate_set_commands = 'none';
        -- The sum keeps the shards from walking their indexes.
        RETURN QUERY EXECUTE format($sql$
            SELECT c.source, c.id, c.chunk_seq, c.chunk, 1 - (%2$s) FROM %1$s AS c
            WHERE ($3 IS NULL OR c.source = $3) AND ($4 IS NULL OR c.source = ANY ($4)) AND ($5 IS NULL OR c.id = ANY ($5))
            ORDER BY (%2$s) + 0 LIMIT $2
            $sql$, store, _distance) USING query, at_most, only_source, only_sources, only_ids;
        RETURN;
    END IF;
    EXECUTE format('SET LOCAL hnsw.ef_search = %s', ef_search);
    SET LOCAL hnsw.iterative_scan = 'strict_order';
    SET LOCAL enable_sort = 'off'; -- a small shard would be compared as a whole, which takes ten times as long
    SET LOCAL citus.propagate_set_commands = 'none';
    SET LOCAL enable_sort = 'on'; -- here
    FOR _next IN EXECUTE format($sql$
        SELECT c.source, c.id, c.chunk_seq, c.chunk, c.vector_key, 1 - (%2$s) AS similarity FROM %1$s AS c
        WHERE NOT c.is_copy AND ($3 IS NULL OR c.source = $3) ORDER BY %2$s LIMIT $2
        $sql$, store, _distance) USING query, at_most, only_source
    LOOP
        source := _next.source;
        id := _next.id;
        chunk_seq := _next.chunk_seq;
        chunk := _next.chunk;
        similarity := _next.similarity;
        RETURN NEXT;
        _keys := _keys || _next.vector_key;
        _nearest := _nearest || _next.similarity;
    END LOOP;
    RETURN QUERY EXECUTE format($sql$
        SELECT c.source, c.id, c.chunk_seq, c.chunk, ($2)[array_position($1, c.vector_key)] FROM %1$s AS c
        WHERE c.is_copy AND c.vector_key = ANY ($1)
        $sql$, store) USING _keys, _nearest;
END
$pgknowbase$;
