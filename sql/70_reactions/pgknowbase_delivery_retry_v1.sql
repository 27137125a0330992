-- Lets dead letters, and runs that wait for another try, run now, with all their attempts before them. Returns how
-- many.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_retry_v1(deliveries bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _failed record;
    _retried bigint := 0;
BEGIN
    FOR _failed IN
        SELECT d.id, d.error FROM pgknowbase_delivery AS d
        WHERE d.id = ANY (deliveries) AND (d.state = 'dead' OR d.state = 'pending' AND d.error <> '')
        ORDER BY d.id FOR UPDATE OF d
    LOOP
        UPDATE pgknowbase_delivery AS d SET attempts = 0 WHERE d.id = _failed.id;
        IF pgknowbase_delivery_requeue(_failed.id, _failed.error, 0) THEN
            _retried := _retried + 1;
        END IF;
    END LOOP;
    RETURN _retried;
END
$pgknowbase$;
