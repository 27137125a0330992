-- The objects that share words with a search text, best first by BM25, each with the chunk that has most of them: the
-- first 200 of an object are looked at, and none is there before the object has been embedded.
-- Parameters and score are those of pgknowbase_bm25_v1.
--
--   SELECT object_key, score, chunk FROM pgknowbase_search_keyword_v1('gzip line by line', 10);
CREATE OR REPLACE FUNCTION pgknowbase_search_keyword_v1(
    query text, max_hits integer, sources integer[] DEFAULT NULL, viewer text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exclude bigint DEFAULT NULL, k1 float8 DEFAULT 1.2,
    b float8 DEFAULT 0.75, most_candidates integer DEFAULT 10000)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, score float8)
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT h.source, h.object_key, h.external_data_id, c.chunk_seq, c.chunk, h.score
    FROM pgknowbase_bm25_v1(
        query, max_hits, sources, viewer, metadata, matching, tags, changed_from, changed_before, object_keys,
        external_data_ids, exclude, k1, b, most_candidates) AS h
    LEFT JOIN LATERAL pgknowbase_keyword_chunk_v1(query, h.source, h.object_key) AS c ON true
    ORDER BY h.score DESC, h.external_data_id
$pgknowbase$;
