-- From what this returns a relay computes the low watermark of the outbox: every event with a smaller id is done, so a
-- claim starts there instead of walking dead index entries. An event's id is drawn before its transaction commits, so a
-- lower id may appear after a higher one.
-- lowest: the lowest id above low_watermark of an event of the named sources, locked ones included; null for none.
-- last: the highest id drawn. running: each transaction that may have drawn an id up to last has a lower number.
-- finished: no transaction with a lower number is running. Once finished reaches an earlier call's running, every event
-- up to that call's last is either visible or will never be.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_low_watermark_v1(sources text[], low_watermark bigint)
RETURNS TABLE (lowest bigint, last bigint, running bigint, finished bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
BEGIN
    -- First, in a statement and so a snapshot of its own.
    last := coalesce(pg_sequence_last_value(pg_get_serial_sequence('pgknowbase_outbox', 'id')::regclass), 0);
    running := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    SELECT o.id, pg_snapshot_xmin(pg_current_snapshot())::text::bigint INTO lowest, finished
    FROM (SELECT) AS once LEFT JOIN LATERAL (
        SELECT e.id FROM pgknowbase_outbox AS e
        WHERE e.id > low_watermark AND e.source = ANY (sources) ORDER BY e.id LIMIT 1
    ) AS o ON true;
    RETURN NEXT;
END
$pgknowbase$;
