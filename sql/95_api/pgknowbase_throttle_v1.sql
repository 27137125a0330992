-- Lets a caller pass who has made fewer than max_requests requests in the last so many seconds, or says how many seconds
-- to wait. 0: it has passed. In no period of that length do more pass, wherever it begins. For that requests are counted
-- by sixtieths of the period, and the one at the far end counts as a whole, so a caller may have to wait a sixtieth longer.
-- A caller that is new removes two whose time is over, so the table stays as small as what is in use.
CREATE OR REPLACE FUNCTION pgknowbase_throttle_v1(caller text, max_requests integer, period float8) RETURNS float8
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _now CONSTANT timestamptz := clock_timestamp();
    _unit CONSTANT float8 := period / 60;
    _latest CONSTANT bigint := floor(extract(epoch FROM _now)::float8 / _unit);
    _free_at CONSTANT timestamptz := _now + make_interval(secs => 61 * _unit);
    _none CONSTANT integer[] := array_fill(0, ARRAY[61]);
    _new boolean;
    _wait float8;
BEGIN
    INSERT INTO pgknowbase_throttle AS t (bucket, latest, counts, free_at)
    VALUES (caller, _latest, 1 || _none[2:61], _free_at)
    ON CONFLICT (bucket) DO UPDATE SET (latest, counts, free_at) = (
        SELECT CASE WHEN _latest - t.latest = -1 THEN t.latest ELSE _latest END, s.counts[1] + 1 || s.counts[2:61], _free_at
        FROM (
            -- Shifted to now; zeros after a whole period, and where the period has become a longer one.
            SELECT CASE
                WHEN _latest - t.latest BETWEEN -1 AND 0 THEN t.counts
                WHEN _latest - t.latest BETWEEN 1 AND 60
                THEN _none[1 : (_latest - t.latest)::integer] || t.counts[1 : 61 - (_latest - t.latest)::integer]
                ELSE _none END AS counts
        ) AS s)
        WHERE _latest - t.latest NOT BETWEEN -1 AND 60 OR max_requests > (
            SELECT coalesce(sum(c.made), 0) FROM unnest(t.counts) WITH ORDINALITY AS c (made, place)
            WHERE c.place <= 61 - greatest(_latest - t.latest, 0))
    RETURNING t.xmax = 0 INTO _new;
    IF _new IS NULL THEN
        -- Until so many of the oldest are out of the period that there is room for one.
        SELECT min(c.until) INTO _wait
        FROM (
            SELECT (t.latest - u.place + 62) * _unit - extract(epoch FROM _now)::float8 AS until,
                sum(u.made) OVER (ORDER BY u.place) - u.made AS newer
            FROM pgknowbase_throttle AS t CROSS JOIN unnest(t.counts) WITH ORDINALITY AS u (made, place)
            WHERE t.bucket = caller
        ) AS c
        WHERE c.newer < max_requests AND c.until > 0;
        RETURN greatest(coalesce(_wait, 0), 0.001);
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
