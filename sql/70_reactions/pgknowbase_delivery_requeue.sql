-- Requeues a delivery, due after delay seconds. Where a newer change of the same row waits already, that change
-- supersedes it. Returns whether it was requeued.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_requeue(delivery bigint, reason text, delay float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    UPDATE pgknowbase_delivery AS d
    SET state = 'pending', error = reason, worker = NULL, due_at = clock_timestamp() + make_interval(secs => delay)
    WHERE d.id = delivery;
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    -- One pending delivery for each row and reaction: the newer change has it.
    UPDATE pgknowbase_delivery AS d
    SET state = 'superseded', error = reason, worker = NULL, finished_at = clock_timestamp()
    WHERE d.id = delivery;
    RETURN false;
END
$pgknowbase$;
