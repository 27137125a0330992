-- Whose words are to be made anew, since server, locale or configuration are others now: of how many documents, by language
-- and maker.
-- requires: pgknowbase_word_maker
CREATE OR REPLACE FUNCTION pgknowbase_words_of_others_v1()
RETURNS TABLE (language text, maker text, documents bigint)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH made AS MATERIALIZED (
        SELECT c.language, c.maker, sum(c.documents)::bigint AS documents
        FROM pgknowbase_corpus AS c GROUP BY c.language, c.maker HAVING sum(c.documents) > 0
    ), now AS MATERIALIZED (
        SELECT l.language, pgknowbase_word_maker(l.language) AS maker
        FROM (SELECT DISTINCT m.language FROM made AS m) AS l
    )
    SELECT m.language, m.maker, m.documents
    FROM made AS m JOIN now AS n ON n.language = m.language WHERE m.maker IS DISTINCT FROM n.maker
    ORDER BY m.language, m.maker
$pgknowbase$;
