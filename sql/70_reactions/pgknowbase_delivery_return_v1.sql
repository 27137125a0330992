-- Requeues the runs whose worker is dead, and those of this worker that it does not hold. Returns how many.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_return_v1(worker uuid, held bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _lost bigint;
    _returned bigint := 0;
BEGIN
    FOR _lost IN
        SELECT d.id FROM pgknowbase_delivery AS d
        WHERE d.state = 'running' AND (
            d.worker = pgknowbase_delivery_return_v1.worker AND d.id <> ALL (held)
            OR NOT EXISTS (SELECT FROM pgknowbase_worker AS w WHERE w.id = d.worker))
        ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
    LOOP
        PERFORM pgknowbase_delivery_requeue(_lost, 'The worker ended during the run.', 0);
        _returned := _returned + 1;
    END LOOP;
    RETURN _returned;
END
$pgknowbase$;
