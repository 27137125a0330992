-- How many objects pass the filters of pgknowbase_search_dense_v1, counted up to at_most.
CREATE OR REPLACE FUNCTION pgknowbase_search_passing_v1(
    at_most integer, sources integer[], viewer text, metadata jsonb, tags text[]) RETURNS bigint
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
            WHERE (sources IS NULL OR e.content_type_id = ANY (sources))
                AND (viewer IS NULL OR e.is_public OR e.owner_id::text = viewer)
                AND (metadata IS NULL OR e.metadata @> metadata) AND (tags IS NULL OR e.tags @> tags)
            LIMIT at_most
        ) AS passing);
END
$pgknowbase$;
