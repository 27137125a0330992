-- What a relay needs to know up to which id no event is left, or can come: an event's id is drawn before its
-- transaction commits, so a lower id may appear after a higher one.
-- lowest: the lowest id above floor of an event of the named sources, locked ones included; null for none.
-- last: the highest id drawn. running: each transaction that may have drawn an id up to last has a lower number.
-- finished: no transaction with a lower number is running. Once finished reaches an earlier call's running, every event
-- up to that call's last is either visible or will never be.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_floor_v1(sources text[], floor bigint)
RETURNS TABLE (lowest bigint, last bigint, running bigint, finished bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    -- First, in a statement and so a snapshot of its own.
    last := coalesce(pg_sequence_last_value(pg_get_serial_sequence('pgknowbase_outbox', 'id')::regclass), 0);
    running := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    SELECT o.id, pg_snapshot_xmin(pg_current_snapshot())::text::bigint INTO lowest, finished
    FROM (SELECT) AS once LEFT JOIN LATERAL (
        SELECT e.id FROM pgknowbase_outbox AS e WHERE e.id > floor AND e.source = ANY (sources) ORDER BY e.id LIMIT 1
    ) AS o ON true;
    RETURN NEXT;
END
$pgknowbase$;
