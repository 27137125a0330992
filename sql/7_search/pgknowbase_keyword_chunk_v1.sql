-- The chunk of an object that has most of a search text's words; of its first 200 chunks. The search text may come from
-- a column of another collation, which the parameters take over, and no index of ours is of that one.
CREATE OR REPLACE FUNCTION pgknowbase_keyword_chunk_v1(query text, of_source integer, of_key text)
RETURNS TABLE (chunk_seq integer, chunk text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH piece AS MATERIALIZED (
        SELECT c.chunk_seq, c.chunk, count(*) OVER () AS pieces
        FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key COLLATE "default"
        ORDER BY c.chunk_seq LIMIT 200
    ), words AS MATERIALIZED (
        SELECT k.language, string_agg(w.word, '|')::tsquery AS query
        FROM pgknowbase_keywords AS k CROSS JOIN LATERAL pgknowbase_asked_words_v1(k.language, query) AS w
        WHERE k.source = of_source AND k.id = of_key COLLATE "default" GROUP BY k.language
    )
    SELECT p.chunk_seq, p.chunk
    FROM piece AS p LEFT JOIN words AS w ON true
    ORDER BY CASE WHEN p.pieces > 1 THEN ts_rank(pgknowbase_words_v1(w.language, p.chunk), w.query) END DESC NULLS LAST,
        p.chunk_seq
    LIMIT 1;
END
$pgknowbase$;
