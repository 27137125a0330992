-- Takes up to max_items due items of a space's pgai queue on lease and returns their documents. The lease lives in
-- pgai's own column loading_retry_after, so pgai's worker leaves leased items alone, and an item that nobody gives back
-- is due again by itself when it ends. Items without a document are dropped: pgai's trigger has removed their chunks.
-- Fresh items (NULL) come first, then backfill ('epoch'), then those that are tried again.
-- only_source, only_id: take the items of this document alone.
-- worker: who takes them; its row keeps the lease, so that whoever notices its death can give them back. A worker
-- without a row was taken for dead and gets nothing until it has beaten again. What is left of its last lease, after a
-- lost connection, is given back first.
-- lease: the moment at which it ends; it is also the token with which the item is acknowledged.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_queue_claim_v1(
    vectorizer integer, max_items integer, lease_seconds float8,
    only_source integer DEFAULT NULL, only_id text DEFAULT NULL, worker uuid DEFAULT NULL)
RETURNS TABLE (item tid, lease timestamptz, attempts integer, source integer, id text, title text, content text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _queue text;
    _now CONSTANT timestamptz := clock_timestamp();
    _lease CONSTANT timestamptz := _now + make_interval(secs => lease_seconds);
    _last timestamptz;
    _due boolean;
    _items tid[];
    _dropped integer;
    _active CONSTANT boolean := EXISTS (
        SELECT 1 FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer AND s.is_active);
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    IF worker IS NOT NULL THEN
        SELECT w.lease INTO _last FROM pgknowbase_worker AS w WHERE w.id = worker;
        IF _last IS NOT NULL THEN
            PERFORM pgknowbase_lease_return_v1(_last);
            UPDATE pgknowbase_worker AS w SET lease = NULL WHERE w.id = worker;
        END IF;
    END IF;
    EXECUTE format($sql$
        SELECT EXISTS (
            SELECT 1 FROM %s AS q
            WHERE coalesce(q.loading_retry_after, '-infinity') <= $1 AND ($2 IS NULL OR (q.source = $2 AND q.id = $3)))
        $sql$, _queue) INTO _due USING _now, only_source, only_id;
    IF NOT _due THEN
        RETURN;
    END IF;
    IF worker IS NOT NULL THEN
        UPDATE pgknowbase_worker AS w SET lease = _lease WHERE w.id = worker;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    LOOP
        EXECUTE format($sql$
            SELECT array_agg(due.ctid)
            FROM (
                SELECT w.ctid FROM %s AS w
                WHERE coalesce(w.loading_retry_after, '-infinity') <= $4
                AND ($2 IS NULL OR (w.source = $2 AND w.id = $3))
                ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $1 FOR UPDATE SKIP LOCKED
            ) AS due
            $sql$, _queue) INTO _items USING max_items, only_source, only_id, _now;
        EXIT WHEN _items IS NULL;
        EXECUTE format($sql$
            DELETE FROM %s AS q WHERE q.ctid = ANY ($1)
                AND NOT EXISTS (SELECT 1 FROM pgknowbase_document AS d WHERE d.source = q.source AND d.id = q.id)
            $sql$, _queue) USING _items;
        GET DIAGNOSTICS _dropped = ROW_COUNT;
        EXIT WHEN _dropped < cardinality(_items);
    END LOOP;
    RETURN QUERY EXECUTE format($sql$
        WITH leased AS (
            UPDATE %s AS q SET loading_retry_after = $2 WHERE q.ctid = ANY ($1)
            RETURNING q.ctid, q.source, q.id, q.loading_retries
        ), marked AS (
            UPDATE pgknowbase_externaldata AS e SET status = 'processing'
            FROM (
                SELECT x.id FROM pgknowbase_externaldata AS x
                JOIN leased AS l ON x.content_type_id = l.source AND x.object_key = l.id
                WHERE $3 AND x.status = 'pending' FOR UPDATE OF x SKIP LOCKED
            ) AS free
            WHERE e.id = free.id
        )
        SELECT l.ctid, $2, l.loading_retries, l.source, l.id, d.title, d.content
        FROM leased AS l JOIN pgknowbase_document AS d ON d.source = l.source AND d.id = l.id
        $sql$, _queue) USING _items, _lease, _active;
END
$pgknowbase$;
