-- The objects that share words with a search text, best first by BM25, each with the chunk that has most of them: the
-- first 200 of an object are looked at, and none is there before the object has been embedded.
--
--   threshold     least score; NULL means any
--   k1, b         how soon a repeated word counts no more, and how much a long document is held back
--   sources, viewer, metadata, ..., skip   see pgknowbase_search_dense_v1
--   most_candidates, note_plan   see pgknowbase_bm25_v1
--
--   SELECT object_key, score, chunk FROM pgknowbase_search_keyword_v1('gzip line by line', 10);
CREATE OR REPLACE FUNCTION pgknowbase_search_keyword_v1(
    query text, max_hits integer, sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exclude bigint DEFAULT NULL, skip integer DEFAULT 0,
    k1 float8 DEFAULT 1.2, b float8 DEFAULT 0.75, most_candidates integer DEFAULT 10000,
    note_plan boolean DEFAULT false)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, span int4range,
    similarity float8, keyword_score float8, score float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT h.source, h.object_key, h.external_data_id, c.chunk_seq, c.chunk, p.span, NULL::float8, h.score, h.score
    FROM (
        SELECT * FROM pgknowbase_bm25_v1(
            query, least(max_hits::bigint + greatest(skip, 0), 2147483647)::integer, sources, viewer, metadata, matching,
            tags, changed_from, changed_before, object_keys, external_data_ids, exclude, k1, b, most_candidates,
            note_plan) AS f
        WHERE threshold IS NULL OR f.score >= threshold
        ORDER BY f.score DESC, f.external_data_id
        LIMIT max_hits OFFSET greatest(skip, 0)
    ) AS h
    LEFT JOIN LATERAL pgknowbase_keyword_chunk_v1(query, h.source, h.object_key) AS c ON true
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN LATERAL pgknowbase_span_v1(h.source, h.object_key, c.chunk, s.template) AS p ON true
    ORDER BY h.score DESC, h.external_data_id;
END
$pgknowbase$;
