-- Gives the queue items of a lease back at once: its worker has died, or has lost the connection in mid-batch.
-- An item to which that happens more than once goes to the end of the line: its text may be what kills workers.
CREATE OR REPLACE FUNCTION pgknowbase_lease_return_v1(lease timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
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
                    loading_retry_after = CASE WHEN q.loading_retries > 0 THEN clock_timestamp() END
                FROM (
                    SELECT w.ctid FROM %1$s AS w
                    WHERE coalesce(w.loading_retry_after, '-infinity') = $1 FOR UPDATE SKIP LOCKED
                ) AS held
                WHERE q.ctid = held.ctid
                RETURNING q.source, q.id
            ), marked AS (
                UPDATE pgknowbase_externaldata AS e SET status = 'pending'
                FROM (
                    SELECT x.id FROM pgknowbase_externaldata AS x
                    JOIN returned AS r ON x.content_type_id = r.source AND x.object_key = r.id
                    WHERE $2 AND x.status = 'processing' FOR UPDATE OF x SKIP LOCKED
                ) AS free
                WHERE e.id = free.id
            )
            SELECT count(*) FROM returned
            $sql$, _space.queue) INTO _returned USING lease, _space.is_active;
        _total := _total + _returned;
    END LOOP;
    RETURN _total;
END
$pgknowbase$;
