-- The objects that share words with a search text, best first by BM25, each with the chunk that has most of them: the
-- first 200 of an object are looked at (4,000 of all hits together, at least 10 of each), and none is there before the
-- object has been embedded.
--
--   filter        see the type pgknowbase_filter; its threshold is the least score
--   exclude, skip   see pgknowbase_search_dense_v1
--   most_candidates, record_plan   see pgknowbase_bm25
--
--   SELECT object_key, score, chunk FROM pgknowbase_search_keyword_v1('gzip line by line', 10);
CREATE OR REPLACE FUNCTION pgknowbase_search_keyword_v1(
    query text, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    skip integer DEFAULT 0, most_candidates integer DEFAULT 10000, record_plan boolean DEFAULT false)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _read CONSTANT record := pgknowbase_read_query(query);
    _most_chunks CONSTANT bigint := greatest(10, least(200, 4000 / greatest(max_hits, 1)));
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT h.source, h.object_key, h.external_data_id, c.chunk_seq, c.chunk, p.span, NULL::float8, h.score, h.score
    FROM (
        SELECT * FROM pgknowbase_bm25(
            query, least(max_hits::bigint + greatest(skip, 0), 2147483647)::integer, filter, exclude, most_candidates,
            record_plan) AS f
        WHERE filter.threshold IS NULL OR f.score >= filter.threshold
        ORDER BY f.score DESC, f.external_data_id
        LIMIT max_hits OFFSET greatest(skip, 0)
    ) AS h
    LEFT JOIN LATERAL pgknowbase_keyword_chunk(
        _read.words, _read.prefixes, h.source, h.object_key, _most_chunks, filter.synonyms) AS c ON true
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(h.source, h.object_key, c.chunk, s.template) AS p ON true
    ORDER BY h.score DESC, h.external_data_id;
END
$pgknowbase$;
