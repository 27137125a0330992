-- About how many objects pass a filter, as the planner believes: half a millisecond, whatever the size of the index.
--
-- VOLATILE because of EXPLAIN alone, which other functions may not run.
CREATE OR REPLACE FUNCTION pgknowbase_estimate_matching(filter pgknowbase_filter) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET enable_seqscan = 'on' -- pgknowbase_search_dense_v1, which calls it, switches it off
SET jit = 'off'
AS $pgknowbase$
DECLARE
    _plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT 1 FROM pgknowbase_externaldata AS e WHERE pgknowbase_matches_filter(e, $1)'
    INTO _plan USING filter;
    RETURN _plan #>> '{0,Plan,Plan Rows}';
END
$pgknowbase$;
