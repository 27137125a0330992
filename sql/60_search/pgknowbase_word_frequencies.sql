-- terms (rows of pgknowbase_tokenize_query as JSON) with "documents" added: in how many of the sources' documents each
-- stands, whatever their language. Of words that are in pgknowbase_rare_postings these tell it, as of when the blocks were made, of common
-- ones pgknowbase_word; what neither knows, such as a prefix or a new word, is counted, up to at_most. seen: the filter of what the
-- viewer may see, if that is not everything: then of what pgknowbase_word does not know such documents alone are counted.
--
-- It is called for a large corpus alone: a plan that was made for a small one would be kept.
-- requires: pgknowbase_read_rare_postings
CREATE OR REPLACE FUNCTION pgknowbase_word_frequencies(
    terms jsonb, sources integer[], at_most integer, seen pgknowbase_filter DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _rare text[];
BEGIN
    IF seen IS NULL THEN -- then nothing depends on what is asked, and planning would take longer than the answer
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
        _rare := ARRAY(
            SELECT DISTINCT trim(t.word, '''') FROM jsonb_to_recordset(terms) AS t (word text)
            WHERE t.word ~ '^''[^''\\]+''$'
                AND NOT EXISTS (SELECT FROM pgknowbase_postings AS p WHERE p.word = trim(t.word, '''')));
    END IF;
    RETURN (
        WITH size AS MATERIALIZED (
            SELECT c.source, CASE
                WHEN seen IS NULL THEN sum(c.documents) ELSE 2 ^ ceil(log(2, greatest(sum(c.documents), 1))) END AS documents
            FROM pgknowbase_corpus AS c
            WHERE sources IS NULL OR c.source = ANY (sources) GROUP BY c.source
        ), word AS MATERIALIZED (
            SELECT DISTINCT t.token, t.word FROM jsonb_to_recordset(terms) AS t (token bigint, word text)
        ), posted AS MATERIALIZED (
            -- The blocks have documents that have changed or gone since, and lack the latest.
            SELECT quote_literal(p.word) AS word, sum(cardinality(p.postings)) * (SELECT sum(c.documents) FROM pgknowbase_corpus AS c)::float8
                / (SELECT sum(b.documents) FROM pgknowbase_postings_block AS b) AS present
            FROM pgknowbase_read_rare_postings(_rare, sources) AS p
            WHERE _rare <> '{}' GROUP BY p.word HAVING sum(cardinality(p.postings)) > 0
        ), common AS MATERIALIZED (
            SELECT w.token, w.word, sum(p.present::float8 * s.documents / p.documents) AS present
            FROM size AS s CROSS JOIN word AS w
            JOIN pgknowbase_word AS p ON p.source = s.source AND p.word = w.word
            WHERE NOT EXISTS (SELECT FROM posted AS o WHERE o.word = w.word)
            GROUP BY w.token, w.word
        ), known AS (
            SELECT w.token, (
                SELECT count(*) FROM (
                    SELECT k.source, k.id FROM pgknowbase_keywords AS k
                    WHERE NOT _is_distributed AND k.words @@ w.word::tsquery AND (sources IS NULL OR k.source = ANY (sources))
                    UNION ALL
                    SELECT s.source, s.id FROM pgknowbase_read_shard_keywords(
                        wanted => w.word::tsquery, sources => sources, at_most => at_most, with_words => false) AS s
                    WHERE _is_distributed
                    LIMIT at_most) AS present
                WHERE seen IS NULL OR EXISTS (
                    SELECT 1 FROM pgknowbase_externaldata AS e
                    WHERE e.content_type_id = present.source AND e.object_key = present.id
                        AND pgknowbase_matches_filter(e, seen)))::float8 AS present
            FROM word AS w
            WHERE NOT EXISTS (SELECT FROM common AS c WHERE c.word = w.word) AND NOT EXISTS (SELECT FROM posted AS p WHERE p.word = w.word)
            UNION ALL SELECT c.token, c.present FROM common AS c
            UNION ALL SELECT w.token, p.present FROM posted AS p JOIN word AS w ON w.word = p.word
        ), summed AS (
            SELECT k.token, sum(k.present) AS documents
            FROM known AS k GROUP BY k.token
        )
        SELECT jsonb_agg(t.term || jsonb_build_object('documents', s.documents))
        FROM jsonb_array_elements(terms) AS t (term) JOIN summed AS s ON s.token = (t.term ->> 'token')::bigint);
END
$pgknowbase$;
