-- The words of a document, counted one by one, for a text of which a tsvector does not tell the truth: of more than 16,383
-- words or more than 255 times the same one, or too long for a tsvector. The positions are made up, at most 200 a word;
-- frequent has the counts beyond. Of what is more than a tsvector can hold, the longest words are left out.
-- requires: pgknowbase_bigrams, pgknowbase_part_words, pgknowbase_tokenize_ascii
CREATE OR REPLACE FUNCTION pgknowbase_count_words(language text, content text)
RETURNS TABLE (words tsvector, length integer, frequent jsonb)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
    WITH piece AS MATERIALIZED (
        -- All that is not a letter or digit parts words, of what is left.
        SELECT p.piece, count(*) AS times
        FROM regexp_split_to_table(
            CASE WHEN octet_length(content) > length(content)
                THEN pgknowbase_bigrams(pgknowbase_part_words(content), ends => true) ELSE content END,
            '[\u0001-/:-@\[-`{-\u007F]+') AS p (piece)
        GROUP BY p.piece
    ), counted AS MATERIALIZED (
        SELECT u.lexeme, sum(p.times * cardinality(u.positions))::integer AS times
        FROM piece AS p CROSS JOIN LATERAL unnest(pgknowbase_tokenize_ascii(language, p.piece)) AS u
        GROUP BY u.lexeme
    ), sized AS (
        SELECT c.lexeme, c.times, sum(octet_length(c.lexeme) + 2 * least(c.times, 200) + 4)
            OVER (ORDER BY octet_length(c.lexeme), c.lexeme) AS bytes
        FROM counted AS c
    )
    SELECT coalesce(string_agg(format('''%s'':%s', replace(replace(s.lexeme, '\', '\\'), '''', ''''''), (
            SELECT string_agg(n::text, ',') FROM generate_series(1, least(s.times, 200)) AS n)), ' '
            ) FILTER (WHERE s.bytes < 1000000), '')::tsvector,
        coalesce(sum(s.times), 0)::integer,
        jsonb_object_agg(s.lexeme, s.times) FILTER (WHERE s.times > 200)
    FROM sized AS s
$pgknowbase$;
