-- terms (rows of pgknowbase_tokenize_query as JSON) with "documents" added: in how many of the sources' documents each
-- stands, whatever their language. Of common words pgknowbase_word tells it; the others, which are rare, are counted, up to
-- at_most; count_rare false leaves it to who scores all their documents anyway: "documents" is null. seen: the filter of what
-- the viewer may see, if that is not everything; of rare words only such documents are counted.
--
-- It is called for a large corpus alone: a plan that was made for a small one would be kept.
CREATE OR REPLACE FUNCTION pgknowbase_word_frequencies(
    terms jsonb, sources integer[], at_most integer, seen pgknowbase_filter DEFAULT NULL,
    count_rare boolean DEFAULT true) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    -- Before the first sample nobody knows which are rare.
    _counted CONSTANT boolean := count_rare OR NOT EXISTS (SELECT FROM pgknowbase_word);
BEGIN
    IF seen IS NULL THEN -- then nothing depends on what is asked, and planning would take longer than the answer
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
    END IF;
    RETURN (
        WITH size AS MATERIALIZED (
            SELECT c.source, CASE
                WHEN seen IS NULL THEN sum(c.documents) ELSE 2 ^ ceil(log(2, greatest(sum(c.documents), 1))) END AS documents
            FROM pgknowbase_corpus AS c
            WHERE sources IS NULL OR c.source = ANY (sources) GROUP BY c.source
        ), word AS MATERIALIZED (
            SELECT DISTINCT t.token, t.word FROM jsonb_to_recordset(terms) AS t (token bigint, word text)
        ), common AS MATERIALIZED (
            SELECT w.token, w.word, sum(p.present::float8 * s.documents / p.documents) AS present
            FROM size AS s CROSS JOIN word AS w
            JOIN pgknowbase_word AS p ON p.source = s.source AND p.word = w.word
            GROUP BY w.token, w.word
        ), known AS (
            SELECT w.token, CASE WHEN _counted OR w.word NOT LIKE '''%''' OR EXISTS (
                    SELECT FROM pgknowbase_postings_word AS p WHERE p.word = trim(w.word, '''')
                ) THEN (
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
                        AND pgknowbase_matches_filter(e, seen)))::float8 END AS present
            FROM word AS w WHERE NOT EXISTS (SELECT 1 FROM common AS c WHERE c.word = w.word)
            UNION ALL SELECT c.token, c.present FROM common AS c
        ), summed AS (
            SELECT k.token, CASE WHEN bool_and(k.present IS NOT NULL) THEN sum(k.present) END AS documents
            FROM known AS k GROUP BY k.token
        )
        SELECT jsonb_agg(t.term || jsonb_build_object('documents', s.documents))
        FROM jsonb_array_elements(terms) AS t (term) JOIN summed AS s ON s.token = (t.term ->> 'token')::bigint);
END
$pgknowbase$;
