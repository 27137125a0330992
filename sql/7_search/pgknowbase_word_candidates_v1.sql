-- Which documents are worth scoring: those with a word, or with two words, of which there are few; as many of these, the
-- rarest first, as are expected to bring at_most documents, and at least one. A document with only one common
-- word has a low score, whatever that word is.
CREATE OR REPLACE FUNCTION pgknowbase_word_candidates_v1(terms jsonb, corpus float8, at_most integer) RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH term AS (
        SELECT t.token, format('(%s)', string_agg(DISTINCT t.word, '|')) AS words,
            least(max(t.documents), corpus) AS expected
        FROM jsonb_to_recordset(terms) AS t (token bigint, word text, documents float8) GROUP BY t.token
    ), clause AS (
        SELECT t.words, t.expected FROM term AS t
        UNION ALL
        SELECT format('(%s & %s)', t.words, o.words), t.expected * o.expected / corpus
        FROM term AS t JOIN term AS o ON o.token > t.token WHERE least(t.expected, o.expected) * 4 > at_most
    ), summed AS (
        SELECT c.words, sum(c.expected) OVER (ORDER BY c.expected, c.words) AS expected,
            row_number() OVER (ORDER BY c.expected, c.words) AS place
        FROM clause AS c
    )
    SELECT string_agg(s.words, '|')::tsquery FROM summed AS s WHERE s.place = 1 OR s.expected <= at_most
$pgknowbase$;
