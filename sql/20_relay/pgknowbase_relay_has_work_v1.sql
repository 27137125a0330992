-- Whether a relay has work: events, expansions, or objects that are due for a retry or a refresh. ended: whether one of the
-- transactions has ended that the relay knows as open (pgknowbase_outbox_low_watermark_v1).
-- source_ids: the same sources by their ids; refreshed: those of them whose documents age.
-- In PL/pgSQL, which keeps its plans: a function in SQL is planned at each call, and this is what an idle worker asks.
CREATE OR REPLACE FUNCTION pgknowbase_relay_has_work_v1(
    sources text[], low_watermark bigint, open bigint[], since bigint[], source_ids integer[], refreshed integer[])
RETURNS TABLE (events boolean, expansions boolean, due boolean, ended boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $pgknowbase$
DECLARE
    _start bigint := low_watermark;
BEGIN
    ended := false;
    IF open <> '{}' THEN
        SELECT least(low_watermark, min(t.since)), count(*) > 0 INTO _start, ended
        FROM unnest(open, pgknowbase_relay_has_work_v1.since) AS t (number, since)
        WHERE pg_visible_in_snapshot(t.number::text::xid8, pg_current_snapshot());
    END IF;
    SELECT
        EXISTS (SELECT FROM pgknowbase_outbox AS o WHERE o.id > _start AND o.source = ANY (sources)),
        EXISTS (SELECT FROM pgknowbase_expansion AS x WHERE x.source = ANY (sources)),
        EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.retry_at <= statement_timestamp() AND e.status = 'failed' AND e.content_type_id = ANY (source_ids)
            ORDER BY e.retry_at OFFSET 0
        ) OR EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.refresh_at <= statement_timestamp() AND e.status <> 'failed' AND e.content_type_id = ANY (refreshed)
            ORDER BY e.refresh_at OFFSET 0
        )
    INTO events, expansions, due;
    RETURN NEXT;
END
$pgknowbase$;
