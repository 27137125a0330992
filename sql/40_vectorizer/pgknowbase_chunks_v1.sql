-- The chunks that the store of a vectorizer holds of these documents, with whether their embeddings may be kept.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_chunks_v1(vectorizer integer, sources integer[], ids text[])
RETURNS TABLE (source integer, id text, chunk_seq integer, chunk text, reusable boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _store text;
BEGIN
    SELECT pgknowbase_store_reader(s, '$1', '$2') INTO STRICT _store
    FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer;
    RETURN QUERY EXECUTE format($sql$
        SELECT c.source, c.id, c.chunk_seq, c.chunk, c.reusable
        FROM (SELECT DISTINCT * FROM unnest($1, $2)) AS k (source, id)
        CROSS JOIN LATERAL (SELECT * FROM %s AS s WHERE s.source = k.source AND s.id = k.id OFFSET 0) AS c
        $sql$, _store) USING sources, ids;
END
$pgknowbase$;
