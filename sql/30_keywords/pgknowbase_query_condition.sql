-- What a document in a language has to satisfy to be found by a search text (pgknowbase_parse_query), of which the first 100
-- parts are heeded; NULL: nothing. With placed false a phrase is the word '^pN' of the Nth part, for documents whose words do
-- not tell their places.
-- requires: pgknowbase_parse_query, pgknowbase_part_tsquery
CREATE OR REPLACE FUNCTION pgknowbase_query_condition(query text, language text, placed boolean DEFAULT true)
RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
    SELECT string_agg(format('(%s)', c.alternatives), '&')::tsquery
    FROM (
        SELECT string_agg(CASE WHEN p.excluded THEN '!' ELSE '' END
            || CASE WHEN placed OR w.words !~ '<(-|\d+)>' THEN w.words ELSE format('''^p%s''', p.place) END, '|') AS alternatives
        FROM (
            SELECT r.*
            FROM pgknowbase_parse_query(query) WITH ORDINALITY AS r (
                clause, content, required, excluded, in_title, is_prefix, is_phrase, place)
            WHERE r.required ORDER BY r.place LIMIT 100
        ) AS p
        CROSS JOIN LATERAL pgknowbase_part_tsquery(language, p.content, p.in_title, p.is_prefix) AS w (words)
        WHERE w.words IS NOT NULL
        GROUP BY p.clause
    ) AS c
$pgknowbase$;
