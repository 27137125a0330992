-- Enables the triggers of a retired pgai vectorizer: from now on it misses nothing. pgknowbase_pgai_requeue_v1 follows,
-- in a transaction of its own, so that writers do not wait while the table is read.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_restore_v1(vectorizer integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vectorizer record;
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer FOR UPDATE;
    EXECUTE format('LOCK TABLE %I.%I IN SHARE ROW EXCLUSIVE MODE', _vectorizer.source_schema, _vectorizer.source_table);
    PERFORM pgknowbase_pgai_triggers(vectorizer, true);
END
$pgknowbase$;
