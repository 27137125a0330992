-- Locks the oldest events of the named sources that no other relay holds, until they hold max_keys keys; the caller
-- deletes them in the same transaction. If it dies, its locks go, and the next relay claims them.
-- low_watermark, open, since: no event up to this id is left, but for those of the open transactions, each of which may have
-- events above its id of since (pgknowbase_outbox_low_watermark_v1); spares the walk over dead index entries.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_claim_v1(
    sources text[], low_watermark bigint, open bigint[], since bigint[], max_keys integer)
RETURNS TABLE (id bigint, source text, path text, object_keys text[])
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
DECLARE
    _taken integer := 0;
    _start CONSTANT bigint := (
        SELECT least(low_watermark, min(t.since))
        FROM unnest(open, pgknowbase_outbox_claim_v1.since) AS t (number, since)
        WHERE pg_visible_in_snapshot(t.number::text::xid8, pg_current_snapshot()));
BEGIN
    FOR id, source, path, object_keys IN
        SELECT o.id, o.source, o.path, o.object_keys
        FROM pgknowbase_outbox AS o
        WHERE o.id > _start AND o.source = ANY (sources)
        ORDER BY o.id LIMIT max_keys FOR UPDATE SKIP LOCKED
    LOOP
        RETURN NEXT;
        _taken := _taken + greatest(1, cardinality(object_keys));
        EXIT WHEN _taken >= max_keys;
    END LOOP;
END
$pgknowbase$;
