-- terms (rows of pgknowbase_query_words_v1 as JSON) with "documents" added: in how many of the sources' documents each
-- word stands, whatever their language. Common words are told from the planner's statistics; the others, which are
-- rare, are counted, up to at_most.
CREATE OR REPLACE FUNCTION pgknowbase_word_frequencies_v1(
    terms jsonb, sources integer[], corpus float8, at_most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
BEGIN
    RETURN (
        WITH common AS MATERIALIZED (
            SELECT u.word, u.frequency
            FROM pg_stats AS s
            CROSS JOIN LATERAL unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) AS u (word, frequency)
            WHERE (s.schemaname, s.tablename, s.attname) = (
                SELECT n.nspname, c.relname, 'words'::name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.oid = 'pgknowbase_keywords'::regclass)
        ), word AS MATERIALIZED (
            SELECT DISTINCT t.token, t.word FROM jsonb_to_recordset(terms) AS t (token bigint, word text)
        ), known AS MATERIALIZED (
            SELECT w.token, sum(coalesce(
                (SELECT c.frequency * corpus FROM common AS c WHERE quote_literal(c.word) = w.word),
                (SELECT count(*) FROM (
                    SELECT 1 FROM pgknowbase_keywords AS k
                    WHERE k.words @@ w.word::tsquery AND (sources IS NULL OR k.source = ANY (sources))
                    LIMIT at_most) AS present))) AS documents
            FROM word AS w GROUP BY w.token
        )
        SELECT jsonb_agg(t.term || jsonb_build_object('documents', k.documents))
        FROM jsonb_array_elements(terms) AS t (term) JOIN known AS k ON k.token = (t.term ->> 'token')::bigint);
END
$pgknowbase$;
