-- Lets a caller pass who is allowed max_requests in any period of so many seconds, or says how many seconds to wait.
-- 0: it has passed. A caller that is new removes two whose time is over, so the table stays as small as what is in use.
CREATE OR REPLACE FUNCTION pgknowbase_throttle_v1(caller text, max_requests integer, period float8) RETURNS float8
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
    _every CONSTANT interval := make_interval(secs => period / max_requests);
    _latest CONSTANT timestamptz := _now + make_interval(secs => period);
    _new boolean;
    _free_at timestamptz;
BEGIN
    INSERT INTO pgknowbase_throttle AS t (bucket, free_at) VALUES (caller, _now + _every)
    ON CONFLICT (bucket) DO UPDATE SET free_at = greatest(t.free_at, _now) + _every
        WHERE greatest(t.free_at, _now) + _every <= _latest
    RETURNING t.xmax = 0 INTO _new;
    IF _new IS NULL THEN
        SELECT t.free_at INTO _free_at FROM pgknowbase_throttle AS t WHERE t.bucket = caller;
        RETURN greatest(extract(epoch FROM coalesce(_free_at, _now) + _every - _latest), 0.001);
    END IF;
    IF _new THEN
        DELETE FROM pgknowbase_throttle AS t USING (
            SELECT o.bucket FROM pgknowbase_throttle AS o
            WHERE o.free_at < _now ORDER BY o.free_at LIMIT 2 FOR UPDATE SKIP LOCKED
        ) AS over
        WHERE t.bucket = over.bucket;
    END IF;
    RETURN 0;
END
$pgknowbase$;
