-- Takes documents of one source, whose chunks are complete and which are locked, out of a space's queue, but for what a
-- worker has on lease: it finds nothing to do.
CREATE OR REPLACE FUNCTION pgknowbase_queue_done_v1(vectorizer integer, source_id integer, ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _queue text;
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format($sql$
        DELETE FROM %1$s WHERE ctid = ANY (ARRAY(
            SELECT q.ctid FROM %1$s AS q
            WHERE q.source = $1 AND q.id = ANY ($2)
                AND coalesce(q.loading_retry_after, '-infinity') <= clock_timestamp() FOR UPDATE SKIP LOCKED))
        $sql$, _queue) USING source_id, ids;
END
$pgknowbase$;
