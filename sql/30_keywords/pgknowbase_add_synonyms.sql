-- terms (rows of pgknowbase_tokenize_query as JSON) with the synonyms of the words of a search text. A word and its synonyms are
-- one term, so that a document counts them together; those of several words in a row are a term of their own.
-- requires: pgknowbase_synonyms_in, pgknowbase_word_maker
CREATE OR REPLACE FUNCTION pgknowbase_add_synonyms(terms jsonb, query text, synonyms jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH term AS MATERIALIZED (
        SELECT t.term, t.term ->> 'language' AS language, format('(%s)', t.term ->> 'word') AS phrase, t.place
        FROM jsonb_array_elements(terms) WITH ORDINALITY AS t (term, place)
    ), applied AS MATERIALIZED (
        SELECT l.language, s.phrase, string_agg(s.alternatives, '|') AS alternatives
        FROM (
            SELECT DISTINCT t.language,
                CASE WHEN pgknowbase_word_maker(t.language) IS NULL THEN 'simple' ELSE t.language END AS configuration
            FROM term AS t
        ) AS l
        CROSS JOIN LATERAL pgknowbase_synonyms_in(l.configuration, query, synonyms) AS s
        GROUP BY l.language, s.phrase
    ), widened AS (
        SELECT t.place, CASE WHEN a.phrase IS NULL THEN t.term
            ELSE t.term || jsonb_build_object('word', format('(%s|%s)', t.term ->> 'word', a.alternatives)) END AS term
        FROM term AS t LEFT JOIN applied AS a ON a.language = t.language AND a.phrase = t.phrase
        UNION ALL
        SELECT 10000 + row_number() OVER (ORDER BY a.phrase, a.language), jsonb_build_object(
            'token', 2000 + dense_rank() OVER (ORDER BY a.phrase), 'language', a.language,
            'word', format('(%s)', a.alternatives), 'times', 1, 'stopped', 0)
        FROM applied AS a
        WHERE NOT EXISTS (SELECT FROM term AS t WHERE t.language = a.language AND t.phrase = a.phrase)
    )
    SELECT jsonb_agg(w.term ORDER BY w.place) FROM widened AS w
$pgknowbase$;
