-- Locks the oldest changes for the named reactions that no other worker holds, until they hold max_keys keys; the
-- caller deletes them in the same transaction, or dies and leaves them to the next.
CREATE OR REPLACE FUNCTION pgknowbase_reaction_claim_v1(reactions text[], max_keys integer)
RETURNS TABLE (id bigint, reaction text, object_keys text[], op text, chain text, created_at timestamptz)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
DECLARE
    _taken integer := 0;
BEGIN
    FOR id, reaction, object_keys, op, chain, created_at IN
        SELECT e.id, e.reaction, e.object_keys, e.op, e.chain, e.created_at
        FROM pgknowbase_reaction_event AS e
        WHERE e.reaction = ANY (reactions)
        ORDER BY e.id LIMIT max_keys FOR UPDATE SKIP LOCKED
    LOOP
        RETURN NEXT;
        _taken := _taken + cardinality(object_keys);
        EXIT WHEN _taken >= max_keys;
    END LOOP;
END
$pgknowbase$;
