-- How far pgai's worker has come with a vectorizer of its own: rows of the source table, stored chunks (or embeddings, in
-- a column of the source table), and rows that wait in its queue.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_state_v1(vectorizer integer)
RETURNS TABLE (source_rows bigint, chunks bigint, waiting bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vectorizer record;
    _destination jsonb;
    _keys text;
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    _destination := _vectorizer.config -> 'destination';
    EXECUTE format('SELECT count(*) FROM %I.%I', _vectorizer.source_schema, _vectorizer.source_table)
    INTO source_rows;
    IF _destination ->> 'implementation' = 'table' THEN
        EXECUTE format('SELECT count(*) FROM %I.%I', _destination ->> 'target_schema', _destination ->> 'target_table')
        INTO chunks;
    ELSE
        EXECUTE format('SELECT count(%I) FROM %I.%I',
            _destination ->> 'embedding_column', _vectorizer.source_schema, _vectorizer.source_table)
        INTO chunks;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ') INTO _keys
    FROM jsonb_to_recordset(_vectorizer.source_pk) AS a (attname name);
    EXECUTE format('SELECT count(*) FROM (SELECT DISTINCT %s FROM %I.%I) AS q',
        _keys, _vectorizer.queue_schema, _vectorizer.queue_table)
    INTO waiting;
    RETURN NEXT;
END
$pgknowbase$;
