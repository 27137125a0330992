-- Of the words that one edit makes of a word (pgknowbase_spellings) the likeliest that documents have which the viewer may see:
-- one that many have, that begins alike, and that differs by the order of two letters or by one letter. Of the spellings that
-- the stemmer takes for the same word, one that stands in such a document. Nothing where one edit makes a stop word, which has
-- no documents to be counted. documents is counted up to 100.
CREATE OR REPLACE FUNCTION pgknowbase_likely_spelling(
    word text, languages text[], sources integer[], seen pgknowbase_filter)
RETURNS TABLE (spelling text, documents bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT
SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
BEGIN
    RETURN QUERY
    WITH edited AS MATERIALIZED (
        SELECT l.language, s.spelling, s.kind, tsvector_to_array(pgknowbase_tokenize_ascii(l.language, s.spelling)) AS lexemes
        FROM unnest(languages) AS l (language) CROSS JOIN LATERAL pgknowbase_spellings(word, l.language) AS s
    ), asked AS MATERIALIZED (
        SELECT DISTINCT e.language, e.lexemes[1] AS lexeme FROM edited AS e
        WHERE cardinality(e.lexemes) = 1 AND NOT EXISTS (SELECT FROM edited AS o WHERE o.lexemes = '{}')
    ), known AS MATERIALIZED (
        SELECT a.language, a.lexeme, pgknowbase_count_documents(
            quote_literal(a.lexeme)::tsquery, a.language, sources, seen, 100, 1000) AS documents
        FROM asked AS a WHERE NOT _is_distributed
        UNION ALL
        SELECT c.*
        FROM (SELECT array_agg(a.language) AS languages, array_agg(a.lexeme) AS lexemes FROM asked AS a WHERE _is_distributed) AS a
        CROSS JOIN LATERAL pgknowbase_count_shard_documents(a.languages, a.lexemes, sources, seen, 100, 1000) AS c
        WHERE a.lexemes IS NOT NULL
    ), likely AS MATERIALIZED (
        SELECT k.language, k.lexeme, k.documents
        FROM known AS k JOIN edited AS e ON e.language = k.language AND e.lexemes[1] = k.lexeme AND cardinality(e.lexemes) = 1
        WHERE k.documents > 0
        ORDER BY ln(k.documents + 1) + CASE WHEN left(e.spelling, 1) = left(word, 1) THEN 2 ELSE 0 END
                + CASE e.kind WHEN 0 THEN 1 WHEN 3 THEN -0.5 ELSE 0 END DESC,
            e.kind, e.spelling
        LIMIT 1
    ), seen_document AS MATERIALIZED (
        SELECT f.*
        FROM likely AS l
        CROSS JOIN LATERAL (
            SELECT k.source, k.id, d.title, d.content
            FROM (
                SELECT k.source, k.id, k.language FROM pgknowbase_keywords AS k
                WHERE NOT _is_distributed AND k.words @@ quote_literal(l.lexeme)::tsquery
                    AND (sources IS NULL OR k.source = ANY (sources))
                UNION ALL
                SELECT s.source, s.id, s.language FROM pgknowbase_read_shard_keywords(
                    wanted => quote_literal(l.lexeme)::tsquery, sources => sources, at_most => 1000, with_words => false) AS s
                WHERE _is_distributed
                LIMIT 1000
            ) AS k
            CROSS JOIN LATERAL (
                SELECT t.title, t.content FROM pgknowbase_document AS t WHERE t.source = k.source AND t.id = k.id OFFSET 0
            ) AS d
            WHERE k.language = l.language AND (seen IS NULL OR EXISTS (
                SELECT FROM pgknowbase_externaldata AS e
                WHERE e.content_type_id = k.source AND e.object_key = k.id AND pgknowbase_matches_filter(e, seen)))
            LIMIT 5
        ) AS f
    ), read AS MATERIALIZED (
        SELECT tsvector_to_array(pgknowbase_tokenize_document_v1(
            'simple', concat(f.title, ' ', left(coalesce(f.content, s.content), 20000)))) AS words
        FROM seen_document AS f
        LEFT JOIN pgknowbase_read_shard_documents_v1(
            (SELECT array_agg(o.source) FROM seen_document AS o), (SELECT array_agg(o.id) FROM seen_document AS o)) AS s
            ON s.source = f.source AND s.id = f.id
    )
    SELECT e.spelling, l.documents
    FROM likely AS l JOIN edited AS e ON e.language = l.language AND e.lexemes[1] = l.lexeme AND cardinality(e.lexemes) = 1
    ORDER BY EXISTS (SELECT FROM read AS r WHERE e.spelling = ANY (r.words)) DESC, e.kind, e.spelling
    LIMIT 1;
END
$pgknowbase$;
