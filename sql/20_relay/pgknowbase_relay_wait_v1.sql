-- Waits until a relay has work, for so many seconds at most, and tells what pgknowbase_relay_has_work_v1 tells. It looks
-- whenever a transaction has ended, as without one the same rows are visible as before: every 10 ms at most, in a wait of a
-- second every 40 ms. Retries and refreshes, which come with time, are seen by its first look.
-- A procedure, because it commits before each pause: it holds no lock and keeps no row from VACUUM for longer than that. So
-- it cannot be called inside a transaction, and has no search path of its own: Postgres allows no SET beside COMMIT.
-- Where the server ends or logs statements that take long, it waits for half of that at most.
-- Example: CALL pgknowbase_relay_wait_v1('{blog.Note}', 41, '{7301}', '{12}', '{9}', '{}', 0.5, NULL, NULL, NULL, NULL);
CREATE OR REPLACE PROCEDURE pgknowbase_relay_wait_v1(
    sources text[], low_watermark bigint, open bigint[], since bigint[], source_ids integer[], refreshed integer[],
    seconds float8, OUT events boolean, OUT expansions boolean, OUT due boolean, OUT ended boolean)
LANGUAGE plpgsql SECURITY INVOKER
AS $pgknowbase$
DECLARE
    _until CONSTANT timestamptz := clock_timestamp() + least(make_interval(secs => seconds), (
        SELECT min(s.value) / 2
        FROM unnest(ARRAY[
            current_setting('statement_timeout')::interval, current_setting('log_min_duration_statement')::interval,
            current_setting('log_min_duration_sample')::interval]) AS s (value)
        WHERE s.value > '0'));
    _snapshot text;
    _seen text := '';
BEGIN
    LOOP
        _snapshot := pg_current_snapshot();
        IF _snapshot <> _seen THEN
            SELECT w.events, w.expansions, w.due, w.ended INTO events, expansions, due, ended
            FROM pgknowbase_relay_has_work_v1(sources, low_watermark, open, since, source_ids, refreshed) AS w;
            _seen := _snapshot;
        END IF;
        EXIT WHEN events OR expansions OR due OR clock_timestamp() >= _until;
        COMMIT;
        PERFORM pg_sleep(least(greatest(0.01, seconds / 25), 0.04));
    END LOOP;
END
$pgknowbase$;
