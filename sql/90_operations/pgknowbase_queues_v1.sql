-- Per embedding space, how many documents wait in its queue (counted to 10,000), how many of them are due, and since
-- when the oldest one that is due has waited.
CREATE OR REPLACE FUNCTION pgknowbase_queues_v1()
RETURNS TABLE (space text, is_active boolean, waiting bigint, due bigint, due_since timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space record;
BEGIN
    FOR _space IN
        SELECT s.name, s.is_active, v.queue_schema, v.queue_table
        FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id ORDER BY s.id
    LOOP
        RETURN QUERY EXECUTE format($sql$
            SELECT $1::text, $2, count(*), count(*) FILTER (WHERE q.is_due), min(q.queued_at) FILTER (WHERE q.is_due)
            FROM (
                SELECT w.queued_at, coalesce(w.loading_retry_after <= clock_timestamp(), true) AS is_due
                FROM %I.%I AS w ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT 10000
            ) AS q
            $sql$, _space.queue_schema, _space.queue_table) USING _space.name, _space.is_active;
    END LOOP;
END
$pgknowbase$;
