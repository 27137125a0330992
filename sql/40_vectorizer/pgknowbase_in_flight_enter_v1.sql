-- Says which texts one executor is about to send, and returns those that another one has sent and not yet stored: it
-- waits for these, so that a text which two workers meet at once is paid for once. keys: 8 bytes of the hash of each text.
-- seconds: after which the entry counts no more, for an executor that has died. worker: the heartbeat with whose end it ends
-- too. Of two that enter with one text the later one is told, because they enter one after the other.
-- Example: SELECT pgknowbase_in_flight_enter_v1('5d0c9e3e-3a0f-4a43-a0b2-0d0a2b5d3c11', '{1,2,3}', 120);
CREATE OR REPLACE FUNCTION pgknowbase_in_flight_enter_v1(
    executor_id uuid, keys bigint[], seconds float8, worker uuid DEFAULT NULL)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _others bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pgknowbase in flight ' || current_schema(), 0));
    SELECT coalesce(array_agg(DISTINCT k.key), '{}') INTO _others
    FROM pgknowbase_in_flight AS f CROSS JOIN unnest(f.keys) AS k (key)
    WHERE f.executor <> executor_id AND f.expires_at > clock_timestamp()
        AND k.key = ANY (pgknowbase_in_flight_enter_v1.keys);
    INSERT INTO pgknowbase_in_flight AS f (executor, worker, keys, expires_at)
    SELECT executor_id, pgknowbase_in_flight_enter_v1.worker, coalesce(array_agg(k.key), '{}'), clock_timestamp() + make_interval(secs => seconds)
    FROM unnest(pgknowbase_in_flight_enter_v1.keys) AS k (key) WHERE k.key <> ALL (_others)
    ON CONFLICT (executor) DO UPDATE SET
        worker = excluded.worker, keys = excluded.keys, expires_at = excluded.expires_at;
    DELETE FROM pgknowbase_in_flight AS f WHERE f.expires_at < clock_timestamp();
    RETURN _others;
END
$pgknowbase$;
