-- Of terms, as pgknowbase_word_frequencies gives them, the rarest whose documents, at_most of each, add up to at most
-- max_pairs: the work of a search is what each of its words finds, and the commonest tell the least. The rarest always stays.
CREATE OR REPLACE FUNCTION pgknowbase_rarest_words(terms jsonb, at_most integer, max_pairs integer) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH word AS (
        SELECT DISTINCT r.token, least(r.documents, at_most) AS documents
        FROM jsonb_to_recordset(terms) AS r (token bigint, documents float8)
    ), kept AS (
        SELECT w.token, row_number() OVER rarest AS place, sum(w.documents) OVER rarest AS pairs FROM word AS w
        WINDOW rarest AS (ORDER BY w.documents, w.token ROWS UNBOUNDED PRECEDING)
    )
    SELECT jsonb_agg(t.term ORDER BY t.place)
    FROM jsonb_array_elements(terms) WITH ORDINALITY AS t (term, place)
    JOIN kept AS k ON k.token = (t.term ->> 'token')::bigint
    WHERE k.pairs <= max_pairs OR k.place = 1;
$pgknowbase$;
