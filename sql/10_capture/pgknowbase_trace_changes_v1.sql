-- Lets each change carry the W3C trace context of the setting pgknowbase.traceparent, or none any more. It is the
-- default of a column, so triggers are the same either way, and nothing is evaluated where it is off.
-- SELECT pgknowbase_trace_changes_v1(true);
CREATE OR REPLACE FUNCTION pgknowbase_trace_changes_v1(enabled boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _table regclass;
BEGIN
    FOREACH _table IN ARRAY ARRAY['pgknowbase_outbox', 'pgknowbase_reaction_event']::regclass[] LOOP
        -- ALTER TABLE waits for every writer, so it is done only where it changes something.
        CONTINUE WHEN enabled = EXISTS (
            SELECT FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = _table AND a.attname = 'traceparent'
        );
        EXECUTE format(
            CASE WHEN enabled
                THEN 'ALTER TABLE %s ALTER traceparent SET DEFAULT nullif(current_setting(''pgknowbase.traceparent'', true), '''')'
                ELSE 'ALTER TABLE %s ALTER traceparent DROP DEFAULT'
            END, _table);
    END LOOP;
END
$pgknowbase$;
