-- Locks up to max_objects objects that are due without an event: first those of the sources that failed and are due for
-- a retry, then those of the refreshed sources whose text is due for a refresh. The locks are the advisory ones of
-- pgknowbase_lock_objects_v1, and an object that another relay holds is skipped. No row is locked: the relay that holds
-- the object may be about to write its row, and would wait for this transaction.
CREATE OR REPLACE FUNCTION pgknowbase_claim_retries_and_refreshes_v1(
    sources integer[], refreshed integer[], max_objects integer)
RETURNS TABLE (source integer, object_key text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _found integer;
BEGIN
    RETURN QUERY
    SELECT d.source, d.object_key
    FROM (
        -- Four times as many as are wanted, because others may hold some of them.
        SELECT e.content_type_id AS source, e.object_key
        FROM pgknowbase_externaldata AS e
        WHERE e.retry_at <= clock_timestamp() AND e.status = 'failed' AND e.content_type_id = ANY (sources)
        ORDER BY e.retry_at LIMIT 4 * max_objects
    ) AS d
    WHERE pg_try_advisory_xact_lock(hashtextextended(d.object_key, d.source))
    LIMIT max_objects;
    GET DIAGNOSTICS _found = ROW_COUNT;
    IF _found = max_objects OR refreshed = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.source, d.object_key
    FROM (
        SELECT e.content_type_id AS source, e.object_key
        FROM pgknowbase_externaldata AS e
        WHERE e.refresh_at <= clock_timestamp() AND e.status <> 'failed' AND e.content_type_id = ANY (refreshed)
        ORDER BY e.refresh_at LIMIT 4 * max_objects
    ) AS d
    WHERE pg_try_advisory_xact_lock(hashtextextended(d.object_key, d.source))
    LIMIT max_objects - _found;
END
$pgknowbase$;
