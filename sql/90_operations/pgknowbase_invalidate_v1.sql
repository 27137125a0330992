-- Invalidates what the index holds of objects of a source, before they are synced. Clears the hash of those whose
-- document is wrong (redo, some of the objects), so that it is written again, and deletes what the active space holds
-- of those without a document. The caller holds the objects' locks. All documents are locked before any external data,
-- in key order: whoever locks both does so, which rules deadlocks out.
CREATE OR REPLACE FUNCTION pgknowbase_invalidate_v1(source_id integer, object_keys text[], redo text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
DECLARE
    _space record;
    _gone text[];
BEGIN
    SELECT format('%I.%I', s.store_schema, s.store_table) AS store,
        format('%I.%I', v.queue_schema, v.queue_table) AS queue
    INTO STRICT _space
    FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    PERFORM 1 FROM pgknowbase_document AS d
    WHERE d.source = source_id AND d.id = ANY (object_keys) ORDER BY d.id FOR UPDATE;
    _gone := ARRAY(
        SELECT k.key FROM unnest(redo) AS k (key)
        WHERE NOT EXISTS (SELECT 1 FROM pgknowbase_document AS d WHERE d.source = source_id AND d.id = k.key OFFSET 0));
    EXECUTE format('DELETE FROM %s AS q WHERE q.source = $1 AND q.id = ANY ($2)', _space.queue) USING source_id, _gone;
    EXECUTE format('DELETE FROM %s AS c WHERE c.source = $1 AND c.id = ANY ($2)', _space.store) USING source_id, _gone;
    PERFORM 1 FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = source_id AND e.object_key = ANY (redo) ORDER BY e.object_key FOR UPDATE;
    UPDATE pgknowbase_externaldata AS e SET content_hash = ''
    WHERE e.content_type_id = source_id AND e.object_key = ANY (redo);
END
$pgknowbase$;
