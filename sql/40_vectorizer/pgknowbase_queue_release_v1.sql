-- Hands leased items back to be retried after delay seconds, and records why in pgai's error table.
-- delay NULL: they are due at once, at the place that they had. attempt: whether it counts as one of the documents' own.
-- until: they are due then, such as at the end of the period of a cap, whatever delay is.
CREATE OR REPLACE FUNCTION pgknowbase_queue_release_v1(
    vectorizer integer, items tid[], lease timestamptz, delay float8, reason text, attempt boolean,
    until timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
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
                loading_retry_after = coalesce(
                    $7, clock_timestamp() + make_interval(secs => $3), CASE WHEN q.backfill THEN timestamptz 'epoch' END)
            -- The lease is compared too: after its end another worker may have taken the item.
            WHERE q.ctid = ANY ($1) AND q.loading_retry_after = $2
            RETURNING q.source, q.id
        ), told AS (
            UPDATE pgknowbase_externaldata AS e SET error = $5, status = 'pending'
            WHERE e.id = ANY (ARRAY(
                SELECT free.id
                FROM released AS r
                CROSS JOIN LATERAL (
                    SELECT x.id, x.status FROM pgknowbase_externaldata AS x
                    WHERE $6 AND x.content_type_id = r.source AND x.object_key = r.id OFFSET 0 FOR UPDATE SKIP LOCKED
                ) AS free
                WHERE free.status <> 'failed' AND ($5 <> '' OR free.status = 'processing')))
        )
        SELECT count(*) FROM released
        $sql$, _queue) INTO _released USING items, lease, delay, attempt, reason, _active, until;
    IF reason <> '' THEN
        INSERT INTO ai._vectorizer_errors (id, message, details)
        VALUES (vectorizer, 'embedding failed', jsonb_build_object('error_reason', reason, 'items', _released));
    END IF;
    RETURN _released;
END
$pgknowbase$;
