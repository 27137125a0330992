-- How many objects pass the filters of pgknowbase_search_dense_v1, counted up to at_most.
CREATE OR REPLACE FUNCTION pgknowbase_search_passing_v1(
    at_most integer, sources integer[], viewer text, metadata jsonb, matching jsonpath, tags text[],
    changed_from timestamptz, changed_before timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0 -- starting one takes longer than the scan
SET enable_seqscan = 'on'
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT 1 FROM pgknowbase_externaldata AS e
            WHERE pgknowbase_passes_v1(e, sources, viewer, metadata, matching, tags, changed_from, changed_before)
            LIMIT at_most
        ) AS passing);
END
$pgknowbase$;
