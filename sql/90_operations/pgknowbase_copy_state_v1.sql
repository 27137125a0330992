-- The copies in the store of a space, those of one source or of all: how many chunks have the vector of another one and are
-- not in the vector index (copies), how many of one vector at most (most), and how many vectors no scan of the index finds,
-- because none of their chunks is in it (hidden). See pgknowbase_mark_copy. Of a distributed
-- store each shard is asked for itself, as it has an index of its own.
CREATE OR REPLACE FUNCTION pgknowbase_copy_state_v1(space bigint, source_id integer DEFAULT NULL)
RETURNS TABLE (copies bigint, most bigint, hidden bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
BEGIN
    SELECT s.* INTO _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.distributed THEN
        RETURN QUERY
        SELECT coalesce(sum(o.copies), 0)::bigint, coalesce(max(o.most), 0), coalesce(sum(o.hidden), 0)::bigint
        FROM run_command_on_shards(format('%I.%I', _space.store_schema, _space.store_table)::regclass, format($sql$
            SELECT jsonb_build_object('copies', sum(g.copies), 'most', max(g.copies), 'hidden', count(*) FILTER (WHERE NOT EXISTS (
                SELECT 1 FROM %%1$s AS r WHERE r.vector_key = g.vector_key AND NOT r.is_copy)))
            FROM (
                SELECT c.vector_key, count(*) AS copies FROM %%1$s AS c
                WHERE c.is_copy AND %s GROUP BY c.vector_key
            ) AS g
            $sql$, coalesce('c.source = ' || source_id, 'true'))) AS r
        CROSS JOIN LATERAL jsonb_to_record(CASE WHEN r.success THEN r.result::jsonb END) AS o (copies bigint, most bigint, hidden bigint);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE (
        SELECT format($sql$
            SELECT coalesce(sum(g.copies), 0)::bigint, coalesce(max(g.copies), 0), count(*) FILTER (WHERE NOT EXISTS (
                SELECT 1 FROM %1$I.%2$I AS r WHERE r.vector_key = g.vector_key AND NOT r.is_copy))
            FROM (
                SELECT c.vector_key, count(*) AS copies FROM %1$I.%2$I AS c
                WHERE c.is_copy AND ($1 IS NULL OR c.source = $1) GROUP BY c.vector_key
            ) AS g
            $sql$, s.store_schema, s.store_table)
        FROM pgknowbase_space AS s WHERE s.id = space)
    USING source_id;
END
$pgknowbase$;
