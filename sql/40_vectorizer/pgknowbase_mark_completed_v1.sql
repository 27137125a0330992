-- Marks as completed the objects whose chunks another worker, such as pgai's, has written: those that are pending or
-- processing, that the queue of the active space does not hold, and of which the store has chunks. Returns how many.
-- An object that changes meanwhile is skipped: its row is locked, or xmin says that it is another version by now. Rows are locked
-- by a statement of their own, so that what is counted and brought together (pgknowbase_beside) was committed before.
CREATE OR REPLACE FUNCTION pgknowbase_mark_completed_v1() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space record;
    _settled bigint;
    _ids bigint[];
    _sources integer[];
    _keys text[];
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) AS queue,
           pgknowbase_store_reader(s, '$1', '$2') AS store, s.distributed, s.id, pgknowbase_beside(s) AS vectors
    INTO _space FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF _space.distributed THEN
        EXECUTE format($sql$
            SELECT array_agg(e.content_type_id), array_agg(e.object_key) FROM pgknowbase_externaldata AS e
            WHERE e.status IN ('pending', 'processing') AND e.status <> 'completed'
                AND NOT EXISTS (SELECT 1 FROM %s AS q WHERE q.source = e.content_type_id AND q.id = e.object_key OFFSET 0)
            $sql$, _space.queue) INTO _sources, _keys;
        IF _keys IS NULL THEN
            RETURN 0;
        END IF;
    END IF;
    EXECUTE format($sql$
        WITH embedded AS MATERIALIZED (
            SELECT e.id, e.xmin AS version
            FROM pgknowbase_externaldata AS e
            WHERE e.status IN ('pending', 'processing') AND e.status <> 'completed' -- the condition of the partial index
                AND EXISTS (SELECT 1 FROM %2$s AS s WHERE s.source = e.content_type_id AND s.id = e.object_key OFFSET 0)
                AND NOT EXISTS (
                    SELECT 1 FROM %1$s AS q WHERE q.source = e.content_type_id AND q.id = e.object_key OFFSET 0)
        )
        SELECT array_agg(held.id)
        FROM embedded AS m
        CROSS JOIN LATERAL (
            SELECT x.id FROM pgknowbase_externaldata AS x
            WHERE x.id = m.id AND x.xmin = m.version OFFSET 0 FOR UPDATE SKIP LOCKED
        ) AS held
        $sql$, _space.queue, _space.store) INTO _ids USING _sources, _keys;
    IF _ids IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format($sql$
        UPDATE pgknowbase_externaldata AS e
        SET status = 'completed', error = '', attempts = 0, processed_at = clock_timestamp(), vectors_space = $4,
            (chunk_count, token_count, vectors) = (
                SELECT count(*), sum(s.tokens), %s FROM %s AS s
                WHERE s.source = e.content_type_id AND s.id = e.object_key)
        WHERE e.id = ANY ($3)
        $sql$, _space.vectors, _space.store) USING _sources, _keys, _ids, _space.id;
    GET DIAGNOSTICS _settled = ROW_COUNT;
    RETURN _settled;
END
$pgknowbase$;
