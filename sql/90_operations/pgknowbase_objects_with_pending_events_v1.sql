-- Which of these objects of a source an event in the outbox concerns. While something waits of which only the relay can
-- say which objects it concerns (a change of related rows, or TRUNCATE), all of them.
CREATE OR REPLACE FUNCTION pgknowbase_objects_with_pending_events_v1(source_label text, object_keys text[])
RETURNS TABLE (object_key text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT changed.key
    FROM pgknowbase_outbox AS o CROSS JOIN LATERAL unnest(o.object_keys) AS changed (key)
    WHERE o.source = source_label AND o.path = '' AND changed.key = ANY ($2)
    UNION
    SELECT k.key
    FROM unnest($2) AS k (key)
    WHERE EXISTS (
        SELECT 1 FROM pgknowbase_outbox AS o
        WHERE o.source = source_label AND (o.object_keys IS NULL OR o.path <> ''))
        OR EXISTS (SELECT 1 FROM pgknowbase_expansion AS x WHERE x.source = source_label)
$pgknowbase$;
