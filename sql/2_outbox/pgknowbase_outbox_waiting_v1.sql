-- Whether there is anything for a relay to take: events, expansions, or objects that are due again.
-- source_ids: the same sources by their ids; refreshed: those of them whose documents age.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_waiting_v1(
    sources text[], floor bigint, source_ids integer[], refreshed integer[])
RETURNS TABLE (events boolean, expansions boolean, due boolean)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT
        EXISTS (SELECT FROM pgknowbase_outbox AS o WHERE o.id > floor AND o.source = ANY (sources)),
        EXISTS (SELECT FROM pgknowbase_expansion AS x WHERE x.source = ANY (sources)),
        EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.retry_at <= statement_timestamp() AND e.status = 'failed' AND e.content_type_id = ANY (source_ids)
        ) OR EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.refresh_at <= statement_timestamp() AND e.status <> 'failed' AND e.content_type_id = ANY (refreshed)
        )
$pgknowbase$;
