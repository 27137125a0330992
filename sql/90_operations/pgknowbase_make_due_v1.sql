-- Lets everything that waits be due now: leases and delays of every space's queue, objects to be rendered
-- again, and reactions to be retried.
CREATE OR REPLACE FUNCTION pgknowbase_make_due_v1() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _queue record;
BEGIN
    UPDATE pgknowbase_provider_outage SET paused_until = clock_timestamp();
    FOR _queue IN
        SELECT v.queue_schema, v.queue_table
        FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
    LOOP
        EXECUTE format('UPDATE %I.%I SET loading_retry_after = NULL WHERE loading_retry_after IS NOT NULL',
            _queue.queue_schema, _queue.queue_table);
    END LOOP;
    UPDATE pgknowbase_delivery SET due_at = clock_timestamp() WHERE state = 'pending';
    UPDATE pgknowbase_externaldata SET retry_at = clock_timestamp() WHERE retry_at IS NOT NULL;
END
$pgknowbase$;
