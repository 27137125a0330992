-- The same as pgknowbase_tokenize_query for the words that others begin with, each a token behind those of a text.
-- requires: pgknowbase_part_tsquery, pgknowbase_word_maker
CREATE OR REPLACE FUNCTION pgknowbase_tokenize_prefixes(prefixes text[], sources integer[])
RETURNS TABLE (token bigint, language text, word text, times bigint, stopped float8)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT 1000 + p.place, l.language, w.word, 1, 0
    FROM (
        SELECT DISTINCT c.language FROM pgknowbase_corpus AS c WHERE sources IS NULL OR c.source = ANY (sources)
    ) AS l
    CROSS JOIN unnest(prefixes) WITH ORDINALITY AS p (content, place)
    CROSS JOIN LATERAL pgknowbase_part_tsquery(
        CASE WHEN pgknowbase_word_maker(l.language) IS NULL THEN 'simple' ELSE l.language END, p.content, false, true) AS w (word)
    WHERE w.word IS NOT NULL
$pgknowbase$;
