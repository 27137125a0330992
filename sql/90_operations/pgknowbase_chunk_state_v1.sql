-- How these objects of a source stand in the active space, in one snapshot: the document's title (NULL: there is no document)
-- and text (NULL with a title: its shard has another one, or none),
-- its chunks by place, whether the queue still holds it, whether its embedding was given up, and how many chunks its
-- external data counts (NULL: it is not completed).
CREATE OR REPLACE FUNCTION pgknowbase_chunk_state_v1(source_id integer, object_keys text[])
RETURNS TABLE (object_key text, title text, content text, chunks jsonb, queued boolean, dead boolean, counted integer)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _store text;
    _queue text;
    _failed text;
BEGIN
    SELECT pgknowbase_store_reader(s, 'ARRAY[$1]', '$2'), format('%I.%I', v.queue_schema, v.queue_table),
        format('%I.%I', v.queue_schema, v.queue_failed_table)
    INTO STRICT _store, _queue, _failed
    FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    RETURN QUERY EXECUTE format($sql$
        SELECT k.key, d.title, coalesce(d.content, s.content),
            coalesce((SELECT jsonb_agg(jsonb_build_array(c.chunk_seq, c.chunk) ORDER BY c.chunk_seq)
                FROM %s AS c WHERE c.source = $1 AND c.id = k.key), '[]'),
            EXISTS (SELECT 1 FROM %s AS q WHERE q.source = $1 AND q.id = k.key OFFSET 0),
            EXISTS (SELECT 1 FROM %s AS f WHERE f.source = $1 AND f.id = k.key OFFSET 0),
            (SELECT e.chunk_count FROM pgknowbase_externaldata AS e
             WHERE e.content_type_id = $1 AND e.object_key = k.key AND e.status = 'completed')
        FROM unnest($2) AS k (key)
        LEFT JOIN LATERAL (
            SELECT t.title, t.content, t.digest FROM pgknowbase_document AS t WHERE t.source = $1 AND t.id = k.key OFFSET 0
        ) AS d ON true
        LEFT JOIN pgknowbase_read_shard_documents_v1(ARRAY[$1], $2) AS s ON s.id = k.key AND s.digest = d.digest
        $sql$, _store, _queue, _failed) USING source_id, object_keys;
END
$pgknowbase$;
