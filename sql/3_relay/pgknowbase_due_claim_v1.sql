-- Takes the lock of up to max_objects objects that are due without an event: those of the sources that failed and are to
-- be tried again, then those of the refreshed sources whose text has aged. An object that another relay is at is passed
-- over; no row is locked, because that relay may be about to write it.
CREATE OR REPLACE FUNCTION pgknowbase_due_claim_v1(sources integer[], refreshed integer[], max_objects integer)
RETURNS TABLE (source integer, object_key text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _found integer;
BEGIN
    RETURN QUERY
    SELECT d.source, d.object_key
    FROM (
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
