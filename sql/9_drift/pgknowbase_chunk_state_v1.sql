-- How these objects of a source stand in the active space, in one snapshot: the document's text (NULL: there is none),
-- its chunks by place, whether the queue still holds it, and whether its embedding was given up.
CREATE OR REPLACE FUNCTION pgknowbase_chunk_state_v1(source_id integer, object_keys text[])
RETURNS TABLE (object_key text, title text, content text, chunks jsonb, queued boolean, dead boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _store text;
    _queue text;
    _failed text;
BEGIN
    SELECT format('%I.%I', s.store_schema, s.store_table), format('%I.%I', v.queue_schema, v.queue_table),
        format('%I.%I', v.queue_schema, v.queue_failed_table)
    INTO STRICT _store, _queue, _failed
    FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    RETURN QUERY EXECUTE format($sql$
        SELECT k.key, d.title, d.content,
            coalesce((SELECT jsonb_agg(jsonb_build_array(c.chunk_seq, c.chunk) ORDER BY c.chunk_seq)
                FROM %s AS c WHERE c.source = $1 AND c.id = k.key), '[]'),
            EXISTS (SELECT 1 FROM %s AS q WHERE q.source = $1 AND q.id = k.key),
            EXISTS (SELECT 1 FROM %s AS f WHERE f.source = $1 AND f.id = k.key)
        FROM unnest($2) AS k (key) LEFT JOIN pgknowbase_document AS d ON d.source = $1 AND d.id = k.key
        $sql$, _store, _queue, _failed) USING source_id, object_keys;
END
$pgknowbase$;
