-- Puts documents of one source into the queue of every space. anew: their chunks are embedded again even where the
-- text is the same; until then searches find the old ones.
CREATE OR REPLACE FUNCTION pgknowbase_requeue_v1(source_id integer, object_keys text[], anew boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space record;
BEGIN
    IF coalesce(cardinality(object_keys), 0) = 0 THEN
        RETURN;
    END IF;
    FOR _space IN
        SELECT v.queue_schema, v.queue_table, s.store_schema, s.store_table
        FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
    LOOP
        IF anew THEN
            EXECUTE format('UPDATE %I.%I SET reusable = false WHERE source = $1 AND id = ANY ($2)',
                _space.store_schema, _space.store_table)
            USING source_id, object_keys;
        END IF;
        EXECUTE format(
            'INSERT INTO %I.%I (source, id)
             SELECT d.source, d.id FROM pgknowbase_document AS d WHERE d.source = $1 AND d.id = ANY ($2)',
            _space.queue_schema, _space.queue_table)
        USING source_id, object_keys;
    END LOOP;
END
$pgknowbase$;
