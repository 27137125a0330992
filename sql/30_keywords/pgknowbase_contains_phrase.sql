-- Whether the words of a phrase, a tsquery, stand one behind the other in a text of any length: it is read in pieces that
-- overlap, since a tsvector knows the places of 16,383 words alone, and of one word 255. A word that a piece begins within is
-- left out of that piece.
-- requires: pgknowbase_tokenize_document_v1
CREATE OR REPLACE FUNCTION pgknowbase_contains_phrase(language text, content text, phrase tsquery) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH piece AS (
        SELECT m.place / 8 AS number, string_agg(m.found[1], '' ORDER BY m.place) AS content
        FROM regexp_matches(content, '.{1,250}', 'g') WITH ORDINALITY AS m (found, place)
        GROUP BY 1
    )
    SELECT coalesce(bool_or(pgknowbase_tokenize_document_v1(
        language, CASE WHEN p.number = 0 THEN p.content ELSE substr(p.content, strpos(left(p.content, 200), ' ') + 1) END) @@ phrase), false)
    FROM (SELECT q.number, concat(q.content, lead(q.content) OVER (ORDER BY q.number)) AS content FROM piece AS q) AS p
$pgknowbase$;
