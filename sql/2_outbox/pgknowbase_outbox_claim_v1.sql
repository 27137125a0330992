-- Locks up to max_events of the oldest events of the named sources that no other relay holds; the caller deletes them
-- in the same transaction, or dies and leaves them to the next.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_claim_v1(sources text[], max_events integer)
RETURNS TABLE (id bigint, source text, object_key text, path text, op text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT o.id, o.source, o.object_key, o.path, o.op::text
    FROM pgknowbase_outbox AS o
    WHERE o.source = ANY (sources)
    ORDER BY o.id
    LIMIT max_events
    FOR UPDATE SKIP LOCKED
$pgknowbase$;
