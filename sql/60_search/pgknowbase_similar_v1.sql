-- The objects nearest to one that is in the index, itself left out: a dense search by the mean of its chunks.
-- The other parameters are those of pgknowbase_search_dense_v1. Nothing is like an object that has no chunks, or that
-- the viewer may not find.
CREATE OR REPLACE FUNCTION pgknowbase_similar_v1(
    of_source integer, of_key text, max_hits integer, filter pgknowbase_filter DEFAULT NULL, skip integer DEFAULT 0,
    exact_search_max_chunks integer DEFAULT 15000, record_plan boolean DEFAULT false)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _mean halfvec;
    _itself bigint;
BEGIN
    SELECT e.id INTO _itself FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = of_source AND e.object_key = of_key
        AND (filter.visible_to IS NULL OR pgknowbase_matches_filter(e, pgknowbase_filter_v1(visible_to => filter.visible_to)));
    SELECT avg(c.embedding) INTO _mean FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key;
    IF _itself IS NULL OR _mean IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM pgknowbase_search_dense_v1(
        _mean, max_hits, filter, _itself, skip, exact_search_max_chunks, record_plan => record_plan);
END
$pgknowbase$;
