-- Takes a transaction lock on each object, in an order that all callers share. Read the source rows in a later
-- statement: whoever holds the lock sees every commit that its predecessor could see.
CREATE OR REPLACE FUNCTION pgknowbase_lock_objects_v1(source integer, object_keys text[]) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT pg_advisory_xact_lock(wanted.lock)
    FROM (
        SELECT DISTINCT hashtextextended(object_key, source) AS lock
        FROM unnest(object_keys) AS object_key
        ORDER BY 1
    ) AS wanted
$pgknowbase$;
