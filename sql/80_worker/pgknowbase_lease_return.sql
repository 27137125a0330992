-- Releases the queue items of a lease at once: its worker has died, or has lost its connection during a batch.
-- An item to which that happens more than once goes to the end of the queue: its text may be what kills workers.
CREATE OR REPLACE FUNCTION pgknowbase_lease_return(lease timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space record;
    _returned bigint;
    _total bigint := 0;
BEGIN
    FOR _space IN
        SELECT format('%I.%I', v.queue_schema, v.queue_table) AS queue, s.is_active
        FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
    LOOP
        EXECUTE format($sql$
            WITH returned AS (
                UPDATE %1$s AS q SET loading_retries = q.loading_retries + 1,
                    loading_retry_after = CASE WHEN q.loading_retries > 0 THEN clock_timestamp()
                        WHEN q.backfill THEN 'epoch' END
                WHERE q.ctid = ANY (ARRAY(
                    SELECT w.ctid FROM %1$s AS w
                    WHERE coalesce(w.loading_retry_after, '-infinity') = $1 FOR UPDATE SKIP LOCKED))
                RETURNING q.source, q.id
            ), marked AS (
                UPDATE pgknowbase_externaldata AS e SET status = 'pending'
                WHERE e.id = ANY (ARRAY(
                    SELECT free.id
                    FROM returned AS r
                    CROSS JOIN LATERAL (
                        SELECT x.id, x.status FROM pgknowbase_externaldata AS x
                        WHERE $2 AND x.content_type_id = r.source AND x.object_key = r.id OFFSET 0 FOR UPDATE SKIP LOCKED
                    ) AS free
                    WHERE free.status = 'processing'))
            )
            SELECT count(*) FROM returned
            $sql$, _space.queue) INTO _returned USING lease, _space.is_active;
        _total := _total + _returned;
    END LOOP;
    RETURN _total;
END
$pgknowbase$;
