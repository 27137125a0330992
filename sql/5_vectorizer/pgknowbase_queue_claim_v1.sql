-- Takes up to max_items due items of a space's pgai queue on lease and returns their documents. The lease lives in
-- pgai's own column loading_retry_after, so an item whose worker died is due again by itself, and pgai's worker leaves
-- leased items alone. Items without a document are dropped: pgai's trigger has removed their chunks.
-- only_source, only_id: take the items of this document alone.
-- lease: the moment at which it ends; it is also the token with which the item is acknowledged.
CREATE OR REPLACE FUNCTION pgknowbase_queue_claim_v1(
    vectorizer integer, max_items integer, lease_seconds float8,
    only_source integer DEFAULT NULL, only_id text DEFAULT NULL)
RETURNS TABLE (item tid, lease timestamptz, attempts integer, source integer, id text, title text, content text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _queue text;
    _lease timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format($sql$
        DELETE FROM %1$s AS q USING (
            SELECT w.ctid FROM %1$s AS w
            WHERE coalesce(w.loading_retry_after, '-infinity') <= clock_timestamp()
            AND ($2 IS NULL OR (w.source = $2 AND w.id = $3))
            ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $1 FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE q.ctid = due.ctid
            AND NOT EXISTS (SELECT 1 FROM pgknowbase_document AS d WHERE d.source = q.source AND d.id = q.id)
        $sql$, _queue) USING max_items, only_source, only_id;
    RETURN QUERY EXECUTE format($sql$
        WITH leased AS (
            UPDATE %1$s AS q SET loading_retry_after = $2
            FROM (
                SELECT w.ctid FROM %1$s AS w
                WHERE coalesce(w.loading_retry_after, '-infinity') <= clock_timestamp()
                AND ($3 IS NULL OR (w.source = $3 AND w.id = $4))
                ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $1 FOR UPDATE SKIP LOCKED
            ) AS due
            WHERE q.ctid = due.ctid
            RETURNING q.ctid, q.source, q.id, q.loading_retries
        ), marked AS (
            UPDATE pgknowbase_externaldata AS e SET status = 'processing'
            FROM (
                SELECT x.id FROM pgknowbase_externaldata AS x
                JOIN leased AS l ON x.content_type_id = l.source AND x.object_key = l.id
                WHERE x.status = 'pending' FOR UPDATE OF x SKIP LOCKED
            ) AS free
            WHERE e.id = free.id
        )
        SELECT l.ctid, $2, l.loading_retries, l.source, l.id, d.title, d.content
        FROM leased AS l JOIN pgknowbase_document AS d ON d.source = l.source AND d.id = l.id
        $sql$, _queue) USING max_items, _lease, only_source, only_id;
END
$pgknowbase$;
