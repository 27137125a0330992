-- As pgknowbase_count_documents, of many words at once, where the words of documents are distributed: those that no source has
-- in many documents (pgknowbase_word) are looked for together, since each statement asks all servers. languages: of each
-- lexeme the language. Of no more than 20,000 documents the rare words are read.
CREATE OR REPLACE FUNCTION pgknowbase_count_shard_documents(
    languages text[], lexemes text[], of_sources integer[], seen pgknowbase_filter, at_most integer, most_candidates integer)
RETURNS TABLE (language text, lexeme text, documents bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 100 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _common CONSTANT text[] := ARRAY(
        SELECT DISTINCT l.lexeme FROM unnest(lexemes) AS l (lexeme)
        JOIN pgknowbase_word AS w ON w.word = quote_literal(l.lexeme)
        WHERE of_sources IS NULL OR w.source = ANY (of_sources));
BEGIN
    RETURN QUERY
    SELECT a.language, a.lexeme, CASE WHEN a.lexeme = ANY (_common) THEN pgknowbase_count_documents(
            quote_literal(a.lexeme)::tsquery, a.language, of_sources, seen, at_most, most_candidates)
        ELSE least(coalesce(r.documents, 0), at_most) END
    FROM unnest(languages, lexemes) AS a (language, lexeme)
    LEFT JOIN (
        SELECT k.language, w.lexeme, count(*) AS documents
        FROM pgknowbase_read_shard_keywords(
            wanted => (
                SELECT coalesce(string_agg(quote_literal(l.lexeme), '|'), '''^''')::tsquery FROM unnest(lexemes) AS l (lexeme)
                WHERE l.lexeme <> ALL (_common)),
            sources => of_sources, at_most => 20000) AS k
        CROSS JOIN LATERAL unnest(tsvector_to_array(k.words)) AS w (lexeme)
        WHERE w.lexeme = ANY (lexemes) AND (seen IS NULL OR EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.content_type_id = k.source AND e.object_key = k.id AND pgknowbase_matches_filter(e, seen) OFFSET 0))
        GROUP BY k.language, w.lexeme
    ) AS r ON r.language = a.language AND r.lexeme = a.lexeme;
END
$pgknowbase$;
