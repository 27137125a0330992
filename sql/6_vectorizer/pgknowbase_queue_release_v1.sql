-- Hands leased items back to be tried again after delay seconds, and records why in pgai's error table.
-- delay NULL: they are due at once, as fresh ones. attempt: whether it counts as one of the documents' own.
CREATE OR REPLACE FUNCTION pgknowbase_queue_release_v1(
    vectorizer integer, items tid[], lease timestamptz, delay float8, reason text, attempt boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _queue text;
    _released bigint;
    _active CONSTANT boolean := EXISTS (
        SELECT 1 FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer AND s.is_active);
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format($sql$
        WITH released AS (
            UPDATE %s AS q SET loading_retries = q.loading_retries + $4::int,
                loading_retry_after = clock_timestamp() + make_interval(secs => $3)
            WHERE q.ctid = ANY ($1) AND q.loading_retry_after = $2
            RETURNING q.source, q.id
        ), told AS (
            UPDATE pgknowbase_externaldata AS e SET error = $5, status = 'pending'
            FROM (
                SELECT x.id FROM pgknowbase_externaldata AS x
                JOIN released AS r ON x.content_type_id = r.source AND x.object_key = r.id
                WHERE $6 AND x.status <> 'failed' AND ($5 <> '' OR x.status = 'processing') FOR UPDATE OF x SKIP LOCKED
            ) AS free
            WHERE e.id = free.id
        )
        SELECT count(*) FROM released
        $sql$, _queue) INTO _released USING items, lease, delay, attempt, reason, _active;
    IF reason <> '' THEN
        INSERT INTO ai._vectorizer_errors (id, message, details)
        VALUES (vectorizer, 'embedding failed', jsonb_build_object('error_reason', reason, 'items', _released));
    END IF;
    RETURN _released;
END
$pgknowbase$;
