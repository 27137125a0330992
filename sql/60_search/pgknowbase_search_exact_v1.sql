-- As pgknowbase_search_dense_v1, which calls it, by comparing every chunk of the objects that pass: for few objects.
CREATE OR REPLACE FUNCTION pgknowbase_search_exact_v1(
    query halfvec, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    skip integer DEFAULT 0, spans boolean DEFAULT true)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10
SET search_path FROM CURRENT
SET enable_seqscan = 'off' -- of what is read for the hits; what is compared has its own
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _found record;
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pgknowbase_space AS s WHERE s.is_active AND s.distributed) THEN
        RETURN QUERY SELECT * FROM pgknowbase_search_shards(
            query, max_hits, filter, exclude, skip, 0, true, false, spans);
        RETURN;
    END IF;
    SELECT f.* INTO STRICT _found FROM pgknowbase_compare_passing(
        query, max_hits::bigint + greatest(skip, 0), filter, exclude, NULL) AS f;
    RETURN QUERY
    SELECT h.source, h.object_key, h.external_data_id, h.chunk_seq, h.chunk, p.span, h.similarity, NULL::float8, h.similarity
    FROM (
        SELECT u.* FROM unnest(
            _found.hit_sources, _found.keys, _found.ids, _found.seqs, _found.chunks, _found.similarities) AS u (
                source, object_key, external_data_id, chunk_seq, chunk, similarity)
        ORDER BY u.similarity DESC, u.external_data_id LIMIT max_hits OFFSET greatest(skip, 0)
    ) AS h
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN pgknowbase_read_shard_documents_v1(_found.hit_sources, CASE WHEN spans THEN _found.keys END) AS d
        ON d.source = h.source AND d.id = h.object_key
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(
        h.source, CASE WHEN spans THEN h.object_key END, h.chunk, s.template, d.content) AS p ON true
    ORDER BY h.similarity DESC, h.external_data_id;
END
$pgknowbase$;
