-- How many documents in a language have a word, a tsquery, counted up to at_most; of those that seen lets the viewer see among
-- the first most_candidates. The language is asked for behind the index of words, lest the planner reads that of languages.
CREATE OR REPLACE FUNCTION pgknowbase_count_documents(
    word tsquery, of_language text, of_sources integer[], seen pgknowbase_filter, at_most integer, most_candidates integer)
RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
-- It is asked hundreds of times for a search text, and planning takes ten times as long as counting.
SET plan_cache_mode = 'force_generic_plan'
SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
BEGIN
    IF seen IS NULL THEN
        RETURN (
            SELECT count(*) FROM (
                SELECT FROM (
                    SELECT k.source, k.language FROM pgknowbase_keywords AS k WHERE NOT _is_distributed AND k.words @@ word
                    UNION ALL
                    SELECT s.source, s.language FROM pgknowbase_read_shard_keywords(
                        wanted => word, queries => jsonb_build_object(of_language, word), sources => of_sources,
                        at_most => at_most, with_words => false) AS s
                    WHERE _is_distributed
                    OFFSET 0
                ) AS c
                WHERE c.language = of_language AND (of_sources IS NULL OR c.source = ANY (of_sources))
                LIMIT at_most) AS found);
    END IF;
    RETURN (
        SELECT count(*) FROM (
            SELECT FROM (
                SELECT k.source, k.id, k.language FROM pgknowbase_keywords AS k
                WHERE NOT _is_distributed AND k.words @@ word AND (of_sources IS NULL OR k.source = ANY (of_sources))
                UNION ALL
                SELECT s.source, s.id, s.language FROM pgknowbase_read_shard_keywords(
                    wanted => word, sources => of_sources, at_most => most_candidates, with_words => false) AS s
                WHERE _is_distributed
                LIMIT most_candidates
            ) AS c
            WHERE c.language = of_language AND EXISTS (
                SELECT FROM pgknowbase_externaldata AS e
                WHERE e.content_type_id = c.source AND e.object_key = c.id AND pgknowbase_matches_filter(e, seen) OFFSET 0)
            LIMIT at_most) AS found);
END
$pgknowbase$;
