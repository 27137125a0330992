-- The words of a search text in a language, each as a tsquery, and where they stand. A single character of a script that
-- is cut into pairs asks for the pairs that begin with it.
CREATE OR REPLACE FUNCTION pgknowbase_asked_words_v1(language text, query text)
RETURNS TABLE (word text, positions smallint[])
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT quote_literal(u.lexeme) || CASE
            WHEN length(u.lexeme) > 1 OR pgknowbase_bigrams_v1(repeat(u.lexeme, 3)) = repeat(u.lexeme, 3) THEN ''
            ELSE ':*' END,
        u.positions
    FROM unnest(pgknowbase_words_v1(language, query)) AS u
$pgknowbase$;
