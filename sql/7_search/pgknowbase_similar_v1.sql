-- The objects nearest to one that is in the index, itself left out: a dense search by the mean of its chunks.
-- The other parameters are those of pgknowbase_search_dense_v1. Nothing is like an object that has no chunks, or that
-- the viewer may not find.
CREATE OR REPLACE FUNCTION pgknowbase_similar_v1(
    of_source integer, of_key text, max_hits integer, sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, skip integer DEFAULT 0, exact_below integer DEFAULT 15000,
    note_plan boolean DEFAULT false)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, span int4range,
    similarity float8, keyword_score float8, score float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _mean halfvec;
    _itself bigint;
BEGIN
    SELECT e.id INTO _itself FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = of_source AND e.object_key = of_key
        AND (viewer IS NULL OR pgknowbase_passes_v1(e, NULL, viewer, NULL, NULL, NULL, NULL, NULL));
    SELECT avg(c.embedding) INTO _mean FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key;
    IF _itself IS NULL OR _mean IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM pgknowbase_search_dense_v1(
        _mean, max_hits, sources, threshold, viewer, metadata, matching, tags, changed_from, changed_before, object_keys,
        external_data_ids, _itself, skip, exact_below, note_plan => note_plan);
END
$pgknowbase$;
