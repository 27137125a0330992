-- Records what became of a run: 'done', 'skipped' (nothing is kept of it), 'retry' after delay seconds, 'postpone' (the
-- same, and the try does not count), 'cancelled' or 'dead'. False if the run was given to another worker meanwhile. A
-- success takes older dead letters of the row along.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_record_outcome_v1(
    delivery bigint, token timestamptz, outcome text, reason text, delay float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _run pgknowbase_delivery;
BEGIN
    SELECT * INTO _run FROM pgknowbase_delivery AS d
    WHERE d.id = delivery AND d.state = 'running' AND d.started_at = token FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    ELSIF outcome = 'skipped' THEN
        DELETE FROM pgknowbase_delivery AS d WHERE d.id = delivery;
    ELSIF outcome IN ('retry', 'postpone') THEN
        UPDATE pgknowbase_delivery AS d SET attempts = d.attempts - 1 WHERE d.id = delivery AND outcome = 'postpone';
        PERFORM pgknowbase_delivery_requeue(delivery, reason, delay);
    ELSE
        UPDATE pgknowbase_delivery AS d
        SET state = outcome, error = reason, worker = NULL, finished_at = clock_timestamp()
        WHERE d.id = delivery;
    END IF;
    IF outcome = 'done' THEN
        UPDATE pgknowbase_delivery AS d SET state = 'superseded'
        WHERE d.state = 'dead' AND d.reaction = _run.reaction AND d.object_key = _run.object_key
            AND d.event < _run.event;
    END IF;
    RETURN true;
END
$pgknowbase$;
