-- Acknowledges leased items whose chunks are written, takes them off the dead letters, and marks their external data as
-- searchable.
-- sources, ids: the documents that were written, as pgknowbase_store_open_v1 returned them.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_store_close_v1(
    vectorizer integer, items tid[], lease timestamptz, sources integer[], ids text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
    _queue text;
    _failed text;
    _done bigint;
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer;
    SELECT format('%I.%I', v.queue_schema, v.queue_table), format('%I.%I', v.queue_schema, v.queue_failed_table)
    INTO STRICT _queue, _failed FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    EXECUTE format('DELETE FROM %s WHERE ctid = ANY ($1) AND loading_retry_after = $2', _queue) USING items, lease;
    EXECUTE format(
        'DELETE FROM %s AS f WHERE f.source = ANY ($1) AND f.id = ANY ($2)
             AND EXISTS (SELECT 1 FROM unnest($1, $2) AS o (source, id) WHERE o.source = f.source AND o.id = f.id OFFSET 0)',
        _failed)
    USING sources, ids;
    IF NOT _space.is_active THEN
        RETURN cardinality(ids);
    END IF;
    EXECUTE format($sql$
        WITH told AS (
            UPDATE pgknowbase_externaldata AS e
            SET (chunk_count, token_count, vectors) = (
                    SELECT count(*), sum(c.tokens), %s FROM %s AS c
                    WHERE c.source = e.content_type_id AND c.id = e.object_key),
                vectors_space = $3,
                processed_at = clock_timestamp(),
                status = CASE e.status WHEN 'failed' THEN e.status ELSE 'completed' END,
                error = CASE e.status WHEN 'failed' THEN e.error ELSE '' END,
                attempts = CASE e.status WHEN 'failed' THEN e.attempts ELSE 0 END
            WHERE e.id = ANY (ARRAY(
                SELECT held.id
                FROM (SELECT DISTINCT k.source, k.id FROM unnest($1, $2) AS k (source, id) ORDER BY 1, 2) AS o
                CROSS JOIN LATERAL (
                    SELECT x.id FROM pgknowbase_externaldata AS x
                    WHERE x.content_type_id = o.source AND x.object_key = o.id OFFSET 0 FOR UPDATE
                ) AS held))
            RETURNING 1
        )
        SELECT count(*) FROM told
        $sql$, pgknowbase_beside(_space), pgknowbase_store_reader(_space, '$1', '$2')) INTO _done USING sources, ids, _space.id;
    RETURN _done;
END
$pgknowbase$;
