-- Enables or disables the triggers of a pgai vectorizer on its source table.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_triggers(vectorizer integer, enable boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _trigger record;
BEGIN
    FOR _trigger IN
        SELECT g.tgname, v.source_schema, v.source_table
        FROM ai.vectorizer AS v
        JOIN pg_trigger AS g ON g.tgrelid = format('%I.%I', v.source_schema, v.source_table)::regclass
            AND g.tgname IN (v.trigger_name, left(v.trigger_name || '_truncate', 63))
        WHERE v.id = vectorizer
    LOOP
        EXECUTE format('ALTER TABLE %I.%I %s TRIGGER %I', _trigger.source_schema, _trigger.source_table,
            CASE WHEN enable THEN 'ENABLE' ELSE 'DISABLE' END, _trigger.tgname);
    END LOOP;
END
$pgknowbase$;
