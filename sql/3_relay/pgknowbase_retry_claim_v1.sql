-- Locks up to max_objects objects of a source whose rendering failed and is due again.
CREATE OR REPLACE FUNCTION pgknowbase_retry_claim_v1(source integer, max_objects integer)
RETURNS TABLE (object_key text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT e.object_key
    FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = source AND e.status = 'failed' AND e.retry_at <= clock_timestamp()
    ORDER BY e.retry_at
    LIMIT max_objects
    FOR UPDATE SKIP LOCKED
$pgknowbase$;
