-- Which of these objects of a source an event in the outbox concerns. While events wait that only the relay can turn
-- into objects (of related rows, or TRUNCATE), all of them.
CREATE OR REPLACE FUNCTION pgknowbase_waiting_v1(source_label text, object_keys text[])
RETURNS TABLE (object_key text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT DISTINCT o.object_key
    FROM pgknowbase_outbox AS o
    WHERE o.source = source_label AND o.object_key = ANY (object_keys)
    UNION
    SELECT k.object_key
    FROM unnest(object_keys) AS k (object_key)
    WHERE EXISTS (
        SELECT 1 FROM pgknowbase_outbox AS o
        WHERE o.source = source_label AND (o.object_key IS NULL OR o.path <> ''))
$pgknowbase$;
