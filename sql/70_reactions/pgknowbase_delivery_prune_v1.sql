-- Deletes up to max_rows runs that ended well, were superseded or cancelled, more than keep seconds ago.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_prune_v1(keep float8, max_rows integer) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
    WITH old AS MATERIALIZED (
        SELECT d.id FROM pgknowbase_delivery AS d
        WHERE d.state IN ('done', 'superseded', 'cancelled')
            AND d.finished_at < statement_timestamp() - make_interval(secs => keep)
        ORDER BY d.finished_at LIMIT max_rows FOR UPDATE SKIP LOCKED
    ), gone AS (DELETE FROM pgknowbase_delivery AS d USING old WHERE d.id = old.id RETURNING 1)
    SELECT count(*) FROM gone
$pgknowbase$;
