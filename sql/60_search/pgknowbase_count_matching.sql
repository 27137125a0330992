-- How many objects pass a filter, counted up to at_most.
CREATE OR REPLACE FUNCTION pgknowbase_count_matching(filter pgknowbase_filter, at_most integer) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
-- Planned with the filter's value: only then does the planner choose the index that serves it.
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0 -- starting one takes longer than the scan
SET enable_seqscan = 'on' -- pgknowbase_search_dense_v1, which calls it, switches it off
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT 1 FROM pgknowbase_externaldata AS e WHERE pgknowbase_matches_filter(e, filter) LIMIT at_most
        ) AS matching);
END
$pgknowbase$;
