-- Hears of the caps of the settings, as a text. Where they are others than before, items that wait for the end of a period
-- of a cap are due at once, each at the place that it had. Returns how many.
-- ends: when the current periods end, which is the time that such items carry.
CREATE OR REPLACE FUNCTION pgknowbase_queue_resume_v1(vectorizer integer, caps text, ends timestamptz[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _queue text;
    _resumed bigint;
BEGIN
    UPDATE pgknowbase_space AS s SET caps = pgknowbase_queue_resume_v1.caps
    WHERE s.vectorizer_id = vectorizer AND s.caps <> pgknowbase_queue_resume_v1.caps;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format($sql$
        UPDATE %s AS q SET loading_retry_after = CASE WHEN q.backfill THEN timestamptz 'epoch' END
        WHERE coalesce(q.loading_retry_after, '-infinity') = ANY ($1)
        $sql$, _queue) USING ends;
    GET DIAGNOSTICS _resumed = ROW_COUNT;
    RETURN _resumed;
END
$pgknowbase$;
