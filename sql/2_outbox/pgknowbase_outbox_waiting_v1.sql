-- Whether there is anything for a relay to take: events, expansions, or objects that are due again.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_waiting_v1(sources text[], floor bigint)
RETURNS TABLE (events boolean, expansions boolean, due boolean)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT
        EXISTS (SELECT FROM pgknowbase_outbox AS o WHERE o.id > floor AND o.source = ANY (sources)),
        EXISTS (SELECT FROM pgknowbase_expansion AS x WHERE x.source = ANY (sources)),
        EXISTS (SELECT FROM pgknowbase_externaldata AS e WHERE e.retry_at <= clock_timestamp())
$pgknowbase$;
