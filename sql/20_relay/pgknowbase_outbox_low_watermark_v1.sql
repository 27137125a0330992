-- From what this returns a relay computes the low watermark of the outbox: every event with a smaller id is done, so a
-- claim starts there instead of walking dead index entries. An event's id is drawn before its transaction commits, so a
-- lower id may appear after a higher one: each transaction that runs is told, and when it ends, the relay looks below the mark.
-- open, since: what the relay knows of transactions that ran: their numbers, and the id above which their events may be.
-- lowest: the lowest id above low_watermark of an event of the named sources, locked ones included; null for none. Where one
-- of open has ended, it is looked for from its id on.
-- last: the highest id drawn, 0 where too many transactions run to name each. running: the transactions that run now; only
-- they may have drawn an id up to last that is not seen yet. Not inside a transaction of the caller's, where age() stands still.
-- Example: SELECT * FROM pgknowbase_outbox_low_watermark_v1('{blog.Note}', 41, '{7301}', '{12}');
CREATE OR REPLACE FUNCTION pgknowbase_outbox_low_watermark_v1(
    sources text[], low_watermark bigint, open bigint[], since bigint[])
RETURNS TABLE (lowest bigint, last bigint, running bigint[])
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $pgknowbase$
DECLARE
    _next bigint;
    _younger integer;
BEGIN
    -- Each in a statement and so a snapshot of its own, in this order: who drew an id by then runs still, or is seen.
    last := coalesce(pg_sequence_last_value(pg_get_serial_sequence('pgknowbase_outbox', 'id')::regclass), 0);
    -- A snapshot names no transaction that is younger than the last one that has ended.
    SELECT s.xmax::text::bigint, age(s.xmax::xid),
        ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(s.snapshot) AS x)
    INTO _next, _younger, running
    FROM (SELECT pg_current_snapshot() AS snapshot, pg_snapshot_xmax(pg_current_snapshot()) AS xmax) AS s;
    IF _younger > 1000 THEN
        last := 0;
    ELSE
        running := running || ARRAY(SELECT generate_series(_next, _next + _younger - 1));
    END IF;
    SELECT o.id INTO lowest
    FROM (
        SELECT least(pgknowbase_outbox_low_watermark_v1.low_watermark, min(t.since)) AS id
        FROM unnest(open, pgknowbase_outbox_low_watermark_v1.since) AS t (number, since)
        WHERE pg_visible_in_snapshot(t.number::text::xid8, pg_current_snapshot())
    ) AS start
    CROSS JOIN LATERAL (
        SELECT e.id FROM pgknowbase_outbox AS e WHERE e.id > start.id AND e.source = ANY (sources) ORDER BY e.id LIMIT 1
    ) AS o;
    RETURN NEXT;
END
$pgknowbase$;
