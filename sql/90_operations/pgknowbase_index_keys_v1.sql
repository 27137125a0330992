-- The object keys of a source that anything in the index carries (external data, documents, words, chunks and queue of the
-- active space), in pages: those after the given key, in order.
CREATE OR REPLACE FUNCTION pgknowbase_index_keys_v1(source_id integer, after_key text, max_keys integer)
RETURNS TABLE (object_key text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashagg = off
SET jit = off
AS $pgknowbase$
DECLARE
    _store text;
    _queue text;
BEGIN
    SELECT format('%I.%I', s.store_schema, s.store_table), format('%I.%I', v.queue_schema, v.queue_table)
    INTO STRICT _store, _queue
    FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    RETURN QUERY EXECUTE format($sql$
        SELECT DISTINCT k.key
        FROM (
            (SELECT e.object_key AS key FROM pgknowbase_externaldata AS e
             WHERE e.content_type_id = $1 AND ($2 IS NULL OR e.object_key > $2) ORDER BY 1 LIMIT $3)
            UNION ALL
            (SELECT d.id FROM pgknowbase_document AS d
             WHERE d.source = $1 AND ($2 IS NULL OR d.id > $2) ORDER BY 1 LIMIT $3)
            UNION ALL
            (SELECT k.id FROM pgknowbase_keywords AS k
             WHERE k.source = $1 AND ($2 IS NULL OR k.id > $2) ORDER BY 1 LIMIT $3)
            UNION ALL
            (SELECT DISTINCT c.id FROM %s AS c
             WHERE c.source = $1 AND ($2 IS NULL OR c.id > $2) ORDER BY 1 LIMIT $3)
            UNION ALL
            (SELECT DISTINCT q.id FROM %s AS q
             WHERE q.source = $1 AND ($2 IS NULL OR q.id > $2) ORDER BY 1 LIMIT $3)
        ) AS k
        ORDER BY 1 LIMIT $3
        $sql$, _store, _queue) USING source_id, after_key, max_keys;
END
$pgknowbase$;
