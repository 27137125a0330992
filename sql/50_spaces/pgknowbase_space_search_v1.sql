-- The objects nearest to a vector in any space, best first, one hit each, without filters or thresholds: to compare
-- spaces before one is activated.
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_space_search_v1(space bigint, query halfvec, max_hits integer)
RETURNS TABLE (source integer, object_key text, similarity float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
SET hnsw.iterative_scan = 'strict_order'
SET hnsw.ef_search = 100
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _space pgknowbase_space;
    _next record;
    _seen text[] := '{}';
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.distributed THEN
        RETURN QUERY
        SELECT n.source, n.id, max(n.similarity)
        FROM pgknowbase_store_nearest(
            format('%I.%I', _space.store_schema, _space.store_table), _space.dimensions, query, 100 + 10 * max_hits::bigint,
            least(100 + 10 * max_hits, 1000), NULL, NULL, NULL) AS n
        GROUP BY n.source, n.id ORDER BY 3 DESC LIMIT max_hits;
        RETURN;
    END IF;
    FOR _next IN EXECUTE format(
        CASE _space.index WHEN 'binary' THEN $sql$
            SELECT r.source, n.id, r.distance
            FROM (
                SELECT s.source, s.id, s.vector_key, s.embedding::halfvec(%1$s) <=> $1 AS distance
                FROM (
                    SELECT c.source, c.id, c.vector_key, c.embedding FROM %2$I.%3$I AS c WHERE NOT c.is_copy
                    ORDER BY binary_quantize(c.embedding)::bit(%1$s) <~> binary_quantize($1) LIMIT 100 + 20 * $2
                ) AS s ORDER BY distance
            ) AS r
        $sql$ ELSE $sql$
            SELECT r.source, n.id, r.distance
            FROM (
                SELECT c.source, c.id, c.vector_key, c.embedding::halfvec(%1$s) <=> $1 AS distance
                FROM %2$I.%3$I AS c WHERE NOT c.is_copy
                ORDER BY c.embedding::halfvec(%1$s) <=> $1
            ) AS r
        $sql$ END || $sql$
            CROSS JOIN LATERAL (
                SELECT k.id FROM %2$I.%3$I AS k WHERE k.vector_key = r.vector_key AND k.is_copy
                UNION ALL
                SELECT r.id
            ) AS n
            ORDER BY r.distance
        $sql$, _space.dimensions, _space.store_schema, _space.store_table) USING query, max_hits
    LOOP
        EXIT WHEN cardinality(_seen) >= max_hits;
        CONTINUE WHEN format('%s:%s', _next.source, _next.id) = ANY (_seen);
        _seen := _seen || format('%s:%s', _next.source, _next.id);
        source := _next.source;
        object_key := _next.id;
        similarity := 1 - _next.distance;
        RETURN NEXT;
    END LOOP;
END
$pgknowbase$;
