-- The chunks of a distributed store nearest to a vector: of each shard its own, merged by Citus, at_most of them and their
-- copies (pgknowbase_mark_copy). Statements with a LIMIT, no join and no subquery: they go to the shards as they are.
--
--   ef_search       walk the vector index of each shard with it; NULL: compare every chunk
--   only_source, only_sources, only_ids   chunks of these sources, and of these documents alone; NULL: of all
CREATE OR REPLACE FUNCTION pgknowbase_store_nearest(
    store text, dimensions integer, query halfvec, at_most bigint, ef_search bigint, only_source integer,
    only_sources integer[], only_ids text[])
RETURNS TABLE (source integer, id text, chunk_seq integer, chunk text, similarity float8)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _distance CONSTANT text := format('c.embedding::halfvec(%s) <=> $1', dimensions);
    _next record;
    _keys uuid[] := '{}';
    _nearest float8[] := '{}';
BEGIN
    SET LOCAL citus.node_connection_timeout = '5s'; -- of a server that hangs; Citus waits for half a minute
    IF ef_search IS NULL THEN
        -- The sum keeps the shards from walking their indexes.
        RETURN QUERY EXECUTE format($sql$
            SELECT c.source, c.id, c.chunk_seq, c.chunk, 1 - (%2$s) FROM %1$s AS c
            WHERE ($3 IS NULL OR c.source = $3) AND ($4 IS NULL OR c.source = ANY ($4)) AND ($5 IS NULL OR c.id = ANY ($5))
            ORDER BY (%2$s) + 0 LIMIT $2
            $sql$, store, _distance) USING query, at_most, only_source, only_sources, only_ids;
        RETURN;
    END IF;
    -- Settings reach the shards by SET LOCAL alone.
    SET LOCAL citus.propagate_set_commands = 'local';
    EXECUTE format('SET LOCAL hnsw.ef_search = %s', ef_search);
    SET LOCAL hnsw.iterative_scan = 'strict_order';
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
    SET LOCAL citus.propagate_set_commands = 'none';
END
$pgknowbase$;
