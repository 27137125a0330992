-- The synonyms that apply to a search text in a language: of each rule whose phrase stands in the text, the phrase and its
-- synonyms, each as the text of a tsquery. Both are read by the tokenizer of the language, so that 'databases' is a form of
-- 'database'.
--
--   synonyms   rules such as [["pg", "postgres", "object relational database"]]: the phrase, then what else may stand for it.
--              The first 50 are heeded.
-- requires: pgknowbase_part_tsquery, pgknowbase_tokenize_document_v1
CREATE OR REPLACE FUNCTION pgknowbase_synonyms_in(language text, query text, synonyms jsonb)
RETURNS TABLE (phrase text, alternatives text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH rule AS MATERIALIZED (
        SELECT r.place, r.rule, pgknowbase_part_tsquery(language, r.rule ->> 0, false, false) AS phrase
        FROM jsonb_array_elements(synonyms) WITH ORDINALITY AS r (rule, place)
        WHERE r.place <= 50
    )
    SELECT r.phrase, string_agg(a.words, '|')
    FROM rule AS r
    CROSS JOIN LATERAL jsonb_array_elements_text(r.rule - 0) AS o (content)
    CROSS JOIN LATERAL pgknowbase_part_tsquery(language, o.content, false, false) AS a (words)
    WHERE pgknowbase_tokenize_document_v1(language, left(query, 2000)) @@ r.phrase::tsquery AND a.words <> r.phrase
    GROUP BY r.place, r.phrase
$pgknowbase$;
