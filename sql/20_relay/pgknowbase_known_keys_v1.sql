-- The object keys that the index knows of a source, in pages: those after the given key, in order.
CREATE OR REPLACE FUNCTION pgknowbase_known_keys_v1(source integer, after_key text, max_keys integer)
RETURNS TABLE (object_key text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
    SELECT e.object_key
    FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = source AND (after_key IS NULL OR e.object_key > after_key)
    ORDER BY e.object_key
    LIMIT max_keys
$pgknowbase$;
