-- Whether the relay has anything to do: an event of one of the sources, or a failed object that is due again. An idle
-- worker asks nothing else. Events that another relay holds count too.
-- source_labels, source_ids: the same sources, as the outbox and as the external data name them.
CREATE OR REPLACE FUNCTION pgknowbase_relay_due_v1(source_labels text[], source_ids integer[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM 1 FROM pgknowbase_outbox AS o WHERE o.source = ANY (source_labels) ORDER BY o.id LIMIT 1;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM 1 FROM pgknowbase_externaldata AS e
    WHERE e.retry_at <= _now AND e.status = 'failed' AND e.content_type_id = ANY (source_ids) LIMIT 1;
    RETURN FOUND;
END
$pgknowbase$;
