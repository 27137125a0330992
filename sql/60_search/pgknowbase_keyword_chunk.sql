-- The chunk of an object that has most of a search text's words (pgknowbase_read_query); of its first most_chunks chunks.
-- The search text may come from a column of another collation, which the parameters take over, and no index of ours is of
-- that one.
CREATE OR REPLACE FUNCTION pgknowbase_keyword_chunk(
    query text, prefixes text[], of_source integer, of_key text, most_chunks bigint, synonyms jsonb DEFAULT NULL)
RETURNS TABLE (chunk_seq integer, chunk text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH piece AS MATERIALIZED (
        SELECT c.chunk_seq, c.chunk, count(*) OVER () AS pieces
        FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key COLLATE "default"
        ORDER BY c.chunk_seq LIMIT most_chunks
    ), words AS MATERIALIZED (
        SELECT l.language, nullif(concat_ws('|', string_agg(w.word, '|'), CASE WHEN prefixes IS NOT NULL THEN (
                SELECT string_agg(pgknowbase_part_tsquery(l.language, p, false, true), '|') FROM unnest(prefixes) AS p)
            END, CASE WHEN synonyms IS NOT NULL THEN (
                SELECT string_agg(s.alternatives, '|') FROM pgknowbase_synonyms_in(l.language, query, synonyms) AS s)
            END), '')::tsquery AS query
        FROM pgknowbase_keywords AS k
        CROSS JOIN LATERAL (
            SELECT CASE WHEN pgknowbase_word_maker(k.language) IS NULL THEN 'simple' ELSE k.language END AS language
        ) AS l
        LEFT JOIN LATERAL pgknowbase_query_tokens(l.language, query) AS w ON true
        -- Of one chunk nothing is asked, and reading a long text takes milliseconds.
        WHERE k.source = of_source AND k.id = of_key COLLATE "default" AND EXISTS (SELECT FROM piece AS p WHERE p.pieces > 1)
        GROUP BY l.language
    )
    SELECT p.chunk_seq, p.chunk
    FROM piece AS p LEFT JOIN words AS w ON true
    ORDER BY CASE WHEN p.pieces > 1 THEN ts_rank(pgknowbase_tokenize_document_v1(w.language, p.chunk), w.query) END DESC NULLS LAST,
        p.chunk_seq
    LIMIT 1;
END
$pgknowbase$;
