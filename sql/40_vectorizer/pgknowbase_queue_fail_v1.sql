-- Sets one leased item aside as a dead letter: in pgai's failed queue, in its error table, and, where
-- the space is the active one, on the external data.
CREATE OR REPLACE FUNCTION pgknowbase_queue_fail_v1(vectorizer integer, item tid, lease timestamptz, reason text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vectorizer record;
    _source integer;
    _id text;
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) AS queue,
           format('%I.%I', v.queue_schema, v.queue_failed_table) AS failed
    INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format(
        'DELETE FROM %s WHERE ctid = $1 AND loading_retry_after = $2 RETURNING source, id', _vectorizer.queue)
    INTO _source, _id USING item, lease;
    IF _id IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('INSERT INTO %s (source, id, failure_step) VALUES ($1, $2, ''embedding'')', _vectorizer.failed)
    USING _source, _id;
    INSERT INTO ai._vectorizer_errors (id, message, details)
    VALUES (vectorizer, 'embedding failed',
        jsonb_build_object('error_reason', reason, 'source', _source, 'id', _id, 'is_retryable', false));
    UPDATE pgknowbase_externaldata AS e
    SET status = 'failed', error = reason, attempts = e.attempts + 1, retry_at = NULL, updated_at = statement_timestamp()
    WHERE e.content_type_id = _source AND e.object_key = _id
        AND EXISTS (SELECT 1 FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer AND s.is_active);
    RETURN true;
END
$pgknowbase$;
