-- The words of a search text in a language, each as a tsquery, and where they stand. A single character of a script that is
-- cut into pairs asks for the pairs that begin with it. Of a long text the first 2,000 characters are read and the first
-- 100 words taken, so that no text makes the search itself long. older: ask for the spellings of older words, too.
-- requires: pgknowbase_bigrams, pgknowbase_part_words, pgknowbase_older_spellings, pgknowbase_tokenize_ascii
CREATE OR REPLACE FUNCTION pgknowbase_query_tokens(language text, query text, older boolean DEFAULT false)
RETURNS TABLE (word text, positions smallint[])
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH asked AS MATERIALIZED (
        SELECT pgknowbase_bigrams(
            CASE WHEN octet_length(q.text) > length(q.text) THEN pgknowbase_part_words(q.text) ELSE q.text END) AS content
        FROM (SELECT left(query, 2000) AS text) AS q
    ), token AS (
        SELECT u.lexeme, u.positions
        FROM asked AS a CROSS JOIN LATERAL unnest(pgknowbase_tokenize_ascii(language, a.content)) AS u
        ORDER BY u.positions[1], u.lexeme LIMIT 100
    ), plain AS MATERIALIZED (
        SELECT u.lexeme, u.positions
        FROM asked AS a CROSS JOIN LATERAL unnest(pgknowbase_tokenize_ascii('pg_catalog.simple', a.content)) AS u
        WHERE older
    )
    SELECT CASE
            WHEN length(t.lexeme) = 1 AND pgknowbase_bigrams(repeat(t.lexeme, 3)) <> repeat(t.lexeme, 3)
            THEN quote_literal(t.lexeme) || ':*'
            WHEN older THEN (
                SELECT format('(%s)', string_agg(DISTINCT quote_literal(s.spelling), '|'))
                FROM plain AS p
                CROSS JOIN LATERAL unnest(pgknowbase_older_spellings(p.lexeme, t.lexeme)) AS s (spelling)
                WHERE p.positions && t.positions)
            ELSE quote_literal(t.lexeme)
        END,
        t.positions
    FROM token AS t
$pgknowbase$;
