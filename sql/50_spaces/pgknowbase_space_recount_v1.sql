-- After another space was activated: lets the status and the counts of one page of external data, in key order, tell
-- how they stand in the active space, and brings their vectors together (pgknowbase_beside). Returns the last key of the page,
-- nothing at the end. Failed renderings stay failed; what a space refused to embed is failed while that space is active.
CREATE OR REPLACE FUNCTION pgknowbase_space_recount_v1(after_source integer, after_key text, max_rows integer)
RETURNS TABLE (source integer, object_key text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _space record;
    _others text;
    _ids bigint[];
    _sources integer[];
    _keys text[];
BEGIN
    SELECT v.id, s.id AS space, pgknowbase_beside(s) AS vectors, format('%I.%I', v.queue_schema, v.queue_table) AS queue,
        format('%I.%I', v.queue_schema, v.queue_failed_table) AS failed, pgknowbase_store_reader(s, '$3', '$4') AS store
    INTO STRICT _space FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    SELECT coalesce(
        string_agg(format('SELECT f.source, f.id FROM %I.%I AS f', v.queue_schema, v.queue_failed_table), ' UNION ALL '),
        'SELECT NULL::integer, NULL::text')
    INTO _others FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE NOT s.is_active;
    SELECT array_agg(p.id), array_agg(p.content_type_id), array_agg(p.object_key)
    INTO _ids, _sources, _keys
    FROM (
        SELECT e.id, e.content_type_id, e.object_key FROM pgknowbase_externaldata AS e
        WHERE (e.content_type_id, e.object_key) > (after_source, after_key)
        ORDER BY e.content_type_id, e.object_key LIMIT max_rows FOR UPDATE
    ) AS p;
    IF _ids IS NULL THEN
        RETURN;
    END IF;
    -- The rows are locked, and this statement sees whatever was committed before: what is queued later tells it itself.
    EXECUTE format($sql$
        WITH found AS (
            SELECT e.id, e.status AS was, n.chunks, n.tokens, n.vectors,
                CASE
                    WHEN dead.here THEN 'failed'
                    WHEN e.status = 'failed' AND (e.retry_at IS NOT NULL OR NOT EXISTS (
                        SELECT 1 FROM (%4$s) AS o (source, id) WHERE o.source = e.content_type_id AND o.id = e.object_key)
                    ) THEN 'failed'
                    WHEN EXISTS (SELECT 1 FROM %1$s AS q WHERE q.source = e.content_type_id AND q.id = e.object_key)
                    THEN CASE e.status WHEN 'processing' THEN e.status ELSE 'pending' END
                    ELSE 'completed'
                END AS status,
                CASE WHEN dead.here AND e.status <> 'failed' THEN coalesce((
                    SELECT r.details ->> 'error_reason' FROM ai._vectorizer_errors AS r
                    WHERE r.id = $2 AND r.details ->> 'source' = e.content_type_id::text AND r.details ->> 'id' = e.object_key
                    ORDER BY r.recorded DESC LIMIT 1), 'embedding failed') ELSE e.error END AS error
            FROM pgknowbase_externaldata AS e
            CROSS JOIN LATERAL (
                SELECT count(*)::int AS chunks, sum(c.tokens)::int AS tokens, %5$s AS vectors FROM %2$s AS c
                WHERE c.source = e.content_type_id AND c.id = e.object_key
            ) AS n
            CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT 1 FROM %3$s AS f WHERE f.source = e.content_type_id AND f.id = e.object_key) AS here
            ) AS dead
            WHERE e.id = ANY ($1)
        )
        UPDATE pgknowbase_externaldata AS e
        SET status = n.status, chunk_count = n.chunks, token_count = n.tokens, vectors = n.vectors, vectors_space = $5,
            error = CASE n.status WHEN 'failed' THEN n.error ELSE '' END,
            attempts = CASE n.status WHEN 'failed' THEN e.attempts ELSE 0 END
        FROM found AS n
        WHERE e.id = n.id AND (e.status, e.chunk_count, e.token_count, e.vectors_space)
            IS DISTINCT FROM (n.status, n.chunks, n.tokens, $5)
        $sql$, _space.queue, _space.store, _space.failed, _others, _space.vectors)
    USING _ids, _space.id, _sources, _keys, _space.space;
    RETURN QUERY SELECT _sources[cardinality(_sources)], _keys[cardinality(_keys)];
END
$pgknowbase$;
