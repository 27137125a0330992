-- Records a heartbeat of a worker, and removes those without a heartbeat for heartbeat_timeout seconds: their leased
-- documents are due again at once, and the texts that they had with a provider hold nobody up any more. Returns how many
-- documents those were. Beats that a restart of the server has prevented are forgiven.
CREATE OR REPLACE FUNCTION pgknowbase_worker_heartbeat_v1(
    worker uuid, host text, pid integer, role text, uptime float8, events bigint, documents bigint, failed bigint,
    heartbeat_timeout float8) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
    _dead record;
    _returned bigint := 0;
BEGIN
    INSERT INTO pgknowbase_worker AS w (id, host, pid, role, started_at, beat_at, events, documents, failed)
    VALUES (worker, host, pid, role, _now - make_interval(secs => uptime), _now, events, documents, failed)
    ON CONFLICT (id) DO UPDATE SET
        beat_at = excluded.beat_at, events = excluded.events, documents = excluded.documents, failed = excluded.failed;
    FOR _dead IN
        DELETE FROM pgknowbase_worker AS w USING (
            SELECT d.id FROM pgknowbase_worker AS d
            WHERE greatest(d.beat_at, pg_postmaster_start_time()) < _now - make_interval(secs => heartbeat_timeout)
            FOR UPDATE SKIP LOCKED
        ) AS silent
        WHERE w.id = silent.id RETURNING w.id, w.lease
    LOOP
        DELETE FROM pgknowbase_in_flight AS f WHERE f.worker = _dead.id;
        IF _dead.lease IS NOT NULL THEN
            _returned := _returned + pgknowbase_lease_return(_dead.lease);
        END IF;
    END LOOP;
    RETURN _returned;
END
$pgknowbase$;
