-- Marks as searchable the objects whose chunks another worker, such as pgai's, has written: they wait, the queue of the
-- active space holds nothing of them, and the store has their chunks. Returns how many.
-- An object that changes meanwhile is passed over: its row is locked, or it is no longer the version that was judged.
CREATE OR REPLACE FUNCTION pgknowbase_settle_v1() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _space record;
    _settled bigint;
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) AS queue,
           format('%I.%I', s.store_schema, s.store_table) AS store
    INTO _space FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    EXECUTE format($sql$
        WITH embedded AS MATERIALIZED (
            SELECT e.id, e.xmin AS version, c.chunks, c.tokens
            FROM pgknowbase_externaldata AS e
            CROSS JOIN LATERAL (
                SELECT count(*)::int AS chunks, sum(s.tokens)::int AS tokens
                FROM %2$s AS s WHERE s.source = e.content_type_id AND s.id = e.object_key
            ) AS c
            WHERE e.status IN ('pending', 'processing') AND c.chunks > 0
                AND NOT EXISTS (SELECT 1 FROM %1$s AS q WHERE q.source = e.content_type_id AND q.id = e.object_key)
        ), held AS (
            SELECT e.id, m.chunks, m.tokens
            FROM pgknowbase_externaldata AS e JOIN embedded AS m ON m.id = e.id AND m.version = e.xmin
            ORDER BY e.content_type_id, e.object_key FOR UPDATE OF e SKIP LOCKED
        ), told AS (
            UPDATE pgknowbase_externaldata AS e
            SET status = 'completed', error = '', attempts = 0, chunk_count = h.chunks, token_count = h.tokens,
                processed_at = clock_timestamp()
            FROM held AS h WHERE e.id = h.id
            RETURNING 1
        )
        SELECT count(*) FROM told
        $sql$, _space.queue, _space.store) INTO _settled;
    RETURN _settled;
END
$pgknowbase$;
