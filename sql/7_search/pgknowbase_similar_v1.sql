-- The objects nearest to one that is in the index, itself left out: a dense search by the mean of its chunks.
-- The other parameters are those of pgknowbase_search_dense_v1. Nothing is like an object without chunks.
CREATE OR REPLACE FUNCTION pgknowbase_similar_v1(
    of_source integer, of_key text, max_hits integer, sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, tags text[] DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exact_below integer DEFAULT 15000)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, similarity float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _mean halfvec;
    _itself bigint;
BEGIN
    SELECT avg(c.embedding) INTO _mean FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key;
    IF _mean IS NULL THEN
        RETURN;
    END IF;
    SELECT e.id INTO _itself FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = of_source AND e.object_key = of_key;
    RETURN QUERY SELECT * FROM pgknowbase_search_dense_v1(
        _mean, max_hits, sources, threshold, viewer, metadata, tags, object_keys,
        external_data_ids, _itself, exact_below);
END
$pgknowbase$;
