-- The words of a search text, at most 100: what each is in every language of the sources (NULL: of all), as a tsquery;
-- how often it stands there; and how many documents are of a language that has it for a stop word. Those count as
-- documents that contain it: else a word such as 'the' would be a rare one wherever few documents are not in English.
-- Where a language has words of another maker, such as an older server, their spellings are asked for, too.
-- requires: pgknowbase_query_tokens, pgknowbase_word_maker
CREATE OR REPLACE FUNCTION pgknowbase_tokenize_query(query text, sources integer[])
RETURNS TABLE (token bigint, language text, word text, times bigint, stopped float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET plan_cache_mode = 'force_generic_plan' -- planning would take longer than the answer
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH made AS MATERIALIZED (
        SELECT c.language, c.maker, sum(c.documents)::float8 AS documents
        FROM pgknowbase_corpus AS c WHERE sources IS NULL OR c.source = ANY (sources)
        GROUP BY c.language, c.maker HAVING sum(c.documents) > 0
    ), spoken AS MATERIALIZED (
        -- A configuration that is gone has no maker, and its documents will be read as 'simple'.
        SELECT l.language, CASE WHEN l.maker IS NULL THEN 'simple' ELSE l.language END AS configuration,
            sum(m.documents) AS documents, bool_or(m.maker IS DISTINCT FROM l.maker) AS older
        FROM (
            SELECT n.language, pgknowbase_word_maker(n.language) AS maker
            FROM (SELECT DISTINCT d.language FROM made AS d) AS n
        ) AS l
        JOIN made AS m ON m.language = l.language
        GROUP BY l.language, l.maker
    ), placed AS (
        SELECT p.place, jsonb_object_agg(s.language, w.word) AS words, sum(s.documents) AS documents
        FROM spoken AS s
        CROSS JOIN LATERAL pgknowbase_query_tokens(s.configuration, query, s.older) AS w
        CROSS JOIN LATERAL unnest(w.positions) AS p (place)
        GROUP BY p.place
    ), token AS (
        SELECT row_number() OVER (ORDER BY min(p.place)) AS token, p.words, count(*) AS times,
            max(p.documents) AS documents
        FROM placed AS p GROUP BY p.words
    )
    SELECT t.token, w.language, w.word, t.times, (SELECT sum(s.documents) FROM spoken AS s) - t.documents
    FROM token AS t CROSS JOIN LATERAL jsonb_each_text(t.words) AS w (language, word)
    WHERE t.token <= 100;
END
$pgknowbase$;
