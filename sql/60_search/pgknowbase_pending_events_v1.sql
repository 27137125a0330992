-- The newest changes of these source models that no relay has taken yet, at most at_most, and the changes of related rows
-- that are on their way to the objects they concern. See the tables pgknowbase_outbox and pgknowbase_expansion.
CREATE OR REPLACE FUNCTION pgknowbase_pending_events_v1(source_labels text[], at_most integer)
RETURNS TABLE (source text, path text, object_keys text[], after text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT n.source, n.path, n.object_keys, NULL
    FROM (
        SELECT o.id, o.source, o.path, o.object_keys FROM pgknowbase_outbox AS o
        WHERE o.source = ANY (source_labels) ORDER BY o.id DESC LIMIT at_most
    ) AS n
    UNION ALL
    SELECT n.source, n.path, n.object_keys, n.after
    FROM (
        SELECT x.source, x.path, x.object_keys, x.after FROM pgknowbase_expansion AS x
        WHERE x.source = ANY (source_labels) ORDER BY x.id DESC LIMIT at_most
    ) AS n
$pgknowbase$;
