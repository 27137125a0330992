-- Lets a delivery run again after delay seconds; one that a newer change of its row waits behind is superseded by it.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_again_v1(delivery bigint, reason text, delay float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    UPDATE pgknowbase_delivery AS d
    SET state = 'pending', error = reason, worker = NULL, due_at = clock_timestamp() + make_interval(secs => delay)
    WHERE d.id = delivery;
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    UPDATE pgknowbase_delivery AS d
    SET state = 'superseded', error = reason, worker = NULL, finished_at = clock_timestamp()
    WHERE d.id = delivery;
    RETURN false;
END
$pgknowbase$;
