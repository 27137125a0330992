-- Takes an advisory lock on each object until the end of the transaction. All callers lock in the same order, so that
-- none of them waits for another in a circle. Read the source rows in a later statement: its snapshot is taken while
-- the lock is held, so it sees every commit that the previous holder could see.
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
