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
    _sources integer[];
    _keys text[];
    _ids bigint[];
    _scores float8[];
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    SELECT array_agg(h.source), array_agg(h.object_key), array_agg(h.external_data_id), array_agg(h.score)
    INTO _sources, _keys, _ids, _scores
    FROM (
        SELECT * FROM pgknowbase_bm25(
            query, least(max_hits::bigint + greatest(skip, 0), 2147483647)::integer, filter, exclude, most_candidates,
            record_plan) AS f
        WHERE filter.threshold IS NULL OR f.score >= filter.threshold
        ORDER BY f.score DESC, f.external_data_id
        LIMIT max_hits OFFSET greatest(skip, 0)
    ) AS h;
    RETURN QUERY
    SELECT h.source, h.object_key, h.external_data_id, c.chunk_seq, c.chunk, p.span, NULL::float8, h.score, h.score
    FROM unnest(_sources, _keys, _ids, _scores) WITH ORDINALITY AS h (source, object_key, external_data_id, score, place)
    LEFT JOIN pgknowbase_keyword_chunks(
        _read.words, _read.prefixes, _sources, _keys, _most_chunks, filter.synonyms) AS c ON c.place = h.place
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN pgknowbase_read_shard_documents_v1(_sources, _keys) AS d ON d.source = h.source AND d.id = h.object_key
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(h.source, h.object_key, c.chunk, s.template, d.content) AS p ON true
    ORDER BY h.place;
END
$pgknowbase$;
