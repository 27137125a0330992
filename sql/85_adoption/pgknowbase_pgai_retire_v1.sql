-- Retires a pgai vectorizer: its triggers are disabled, its worker leaves it alone, and its row in pgai's catalog says by
-- what it was adopted and which transactions may have ended before; queue and store stay as they are.
-- The row of the catalog is locked first, then the source table, so that every writer before has queued its change, and
-- every one after has not. Returns false where it was adopted before.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_retire_v1(vectorizer integer, adopted jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vectorizer record;
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer FOR UPDATE;
    IF _vectorizer.config ? 'pgknowbase' THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I.%I IN SHARE ROW EXCLUSIVE MODE', _vectorizer.source_schema, _vectorizer.source_table);
    PERFORM pgknowbase_pgai_triggers(vectorizer, false);
    PERFORM ai.disable_vectorizer_schedule(vectorizer);
    UPDATE ai.vectorizer AS v
    SET config = v.config || jsonb_build_object(
        'pgknowbase', adopted || jsonb_build_object('at', statement_timestamp(), 'was_disabled', _vectorizer.disabled,
            'since', pg_snapshot_xmin(pg_current_snapshot())::text))
    WHERE v.id = vectorizer;
    RETURN true;
END
$pgknowbase$;
