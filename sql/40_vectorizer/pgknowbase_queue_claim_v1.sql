-- Takes up to max_items due items of a space's pgai queue on lease and returns their documents. The lease lives in
-- pgai's own column loading_retry_after, so pgai's worker leaves leased items alone, and an item that nobody gives back
-- is due again by itself when it ends. Items without a document are dropped: pgai's trigger has removed their chunks.
-- Fresh items (NULL) come first, then backfill ('epoch'), then those that are tried again. An eighth of a batch is kept
-- for backfill, which would never end where more is written than a worker can embed, and another one for fresh items that are
-- tried again, which would otherwise wait for the end of a backfill.
-- only_source, only_id: take the items of this document alone.
-- worker: who takes them; its row keeps the lease, so that whoever notices its death can give them back. A worker
-- without a row was taken for dead and gets nothing until it has beaten again. What is left of its last lease, after a
-- lost connection, is given back first.
-- fresh_only: leave backfills to later, because a cap has paused them.
-- marked: show the objects as 'processing', which writes each of them, and its place in each index, a second time.
-- lease: the moment at which it ends; it is also the token with which the item is acknowledged.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_queue_claim_v1(
    vectorizer integer, max_items integer, lease_seconds float8,
    only_source integer DEFAULT NULL, only_id text DEFAULT NULL, worker uuid DEFAULT NULL,
    fresh_only boolean DEFAULT false, marked boolean DEFAULT true)
RETURNS TABLE (
    item tid, lease timestamptz, attempts integer, source integer, id text, title text, content text, backfill boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
DECLARE
    _queue text;
    _now CONSTANT timestamptz := clock_timestamp();
    _lease CONSTANT timestamptz := _now + make_interval(secs => lease_seconds);
    _last timestamptz;
    _due boolean;
    _items tid[];
    _dropped integer;
    -- Two looks instead of one, so that an index finds fresh items without reading a million of backfills.
    _kinds CONSTANT text[] := CASE WHEN fresh_only THEN ARRAY[
            'coalesce(loading_retry_after, ''-infinity'') = ''-infinity'' AND NOT backfill',
            'coalesce(loading_retry_after, ''-infinity'') > ''epoch'' AND NOT backfill']
        ELSE ARRAY['true'] END;
    _kind text;
    -- Of a batch of fewer than eight all that waits for a minute, one time in so many that it comes to the same.
    _share CONSTANT integer := CASE
        WHEN fresh_only OR only_source IS NOT NULL THEN 0
        WHEN max_items >= 8 THEN max_items / 8
        WHEN random() < 0.125 THEN max_items
        ELSE 0 END;
    _is_marked CONSTANT boolean := marked AND EXISTS (
        SELECT 1 FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer AND s.is_active);
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    IF worker IS NOT NULL THEN
        SELECT w.lease INTO _last FROM pgknowbase_worker AS w WHERE w.id = worker;
        IF _last IS NOT NULL THEN
            PERFORM pgknowbase_lease_return(_last);
            UPDATE pgknowbase_worker AS w SET lease = NULL WHERE w.id = worker;
        END IF;
    END IF;
    -- An idle worker writes nothing: it looks before it marks its row.
    FOREACH _kind IN ARRAY _kinds LOOP
        EXECUTE format($sql$
            SELECT EXISTS (
                SELECT 1 FROM %s AS q
                WHERE coalesce(q.loading_retry_after, '-infinity') <= $1 AND ($2 IS NULL OR (q.source = $2 AND q.id = $3))
                    AND %s)
            $sql$, _queue, _kind) INTO _due USING _now, only_source, only_id;
        EXIT WHEN _due;
    END LOOP;
    IF NOT _due THEN
        RETURN;
    END IF;
    IF worker IS NOT NULL THEN
        -- Before any item carries the lease, so that the death of this worker cannot strand one.
        UPDATE pgknowbase_worker AS w SET lease = _lease WHERE w.id = worker;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    LOOP
        EXECUTE format($sql$
            SELECT array_agg(best.ctid)
            FROM (
                SELECT due.ctid
                FROM (
                    SELECT s.ctid, 0 AS place
                    FROM (
                        SELECT w.ctid FROM %1$s AS w
                        WHERE coalesce(w.loading_retry_after, '-infinity') = 'epoch'
                            AND ($1 >= 8 OR w.queued_at < $4 - interval '1 minute')
                        ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $5 FOR UPDATE SKIP LOCKED
                    ) AS s
                    UNION ALL
                    SELECT r.ctid, 0
                    FROM (
                        SELECT w.ctid FROM %1$s AS w
                        WHERE coalesce(w.loading_retry_after, '-infinity') > 'epoch'
                            AND coalesce(w.loading_retry_after, '-infinity') <= $4 AND NOT w.backfill
                            AND ($1 >= 8 OR w.queued_at < $4 - interval '1 minute')
                        ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $5 FOR UPDATE SKIP LOCKED
                    ) AS r
                    UNION ALL
                    SELECT f.ctid, row_number() OVER ()
                    FROM (
                        SELECT w.ctid FROM %1$s AS w
                        WHERE coalesce(w.loading_retry_after, '-infinity') <= $4
                        AND ($2 IS NULL OR (w.source = $2 AND w.id = $3)) AND %2$s
                        ORDER BY coalesce(w.loading_retry_after, '-infinity'), w.queued_at LIMIT $1 FOR UPDATE SKIP LOCKED
                    ) AS f
                ) AS due
                GROUP BY due.ctid ORDER BY min(due.place) LIMIT $1
            ) AS best
            $sql$, _queue, _kind)
        INTO _items USING max_items, only_source, only_id, _now, _share;
        EXIT WHEN _items IS NULL;
        EXECUTE format($sql$
            DELETE FROM %s AS q WHERE q.ctid = ANY ($1)
                AND NOT EXISTS (
                    SELECT 1 FROM pgknowbase_document AS d WHERE d.source = q.source AND d.id = q.id OFFSET 0)
            $sql$, _queue) USING _items;
        GET DIAGNOSTICS _dropped = ROW_COUNT;
        -- Where all of them were dropped there is nothing to return yet, and more may be due.
        EXIT WHEN _dropped < cardinality(_items);
    END LOOP;
    RETURN QUERY EXECUTE format($sql$
        WITH leased AS (
            UPDATE %s AS q SET loading_retry_after = $2 WHERE q.ctid = ANY ($1)
            RETURNING q.ctid, q.source, q.id, q.loading_retries, q.backfill
        ), marked AS (
            UPDATE pgknowbase_externaldata AS e SET status = 'processing'
            WHERE e.id = ANY (ARRAY(
                SELECT free.id
                FROM leased AS l
                CROSS JOIN LATERAL (
                    SELECT x.id, x.status FROM pgknowbase_externaldata AS x
                    -- Skipped where a relay writes it: the status is a courtesy, and waiting could be a deadlock.
                    WHERE $3 AND x.content_type_id = l.source AND x.object_key = l.id OFFSET 0 FOR UPDATE SKIP LOCKED
                ) AS free
                WHERE free.status = 'pending'))
        )
        SELECT l.ctid, $2, l.loading_retries, l.source, l.id, d.title, coalesce(d.content, s.content), l.backfill
        FROM leased AS l
        CROSS JOIN LATERAL (
            SELECT t.title, t.content, t.digest FROM pgknowbase_document AS t
            WHERE t.source = l.source AND t.id = l.id OFFSET 0
        ) AS d
        LEFT JOIN pgknowbase_read_shard_documents_v1(
            (SELECT array_agg(o.source) FROM leased AS o), (SELECT array_agg(o.id) FROM leased AS o)) AS s
            ON s.source = l.source AND s.id = l.id AND s.digest = d.digest
        $sql$, _queue) USING _items, _lease, _is_marked;
END
$pgknowbase$;
