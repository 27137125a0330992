-- Locks the expansion that was advanced the longest time ago, so that a large one keeps no other waiting. One that
-- another relay holds is skipped.
CREATE OR REPLACE FUNCTION pgknowbase_expansion_claim_v1(sources text[])
RETURNS TABLE (id bigint, source text, path text, object_keys text[], after text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT x.id, x.source, x.path, x.object_keys, x.after
    FROM pgknowbase_expansion AS x
    WHERE x.source = ANY (sources)
    ORDER BY x.turned_at, x.id LIMIT 1
    FOR UPDATE SKIP LOCKED
$pgknowbase$;
