-- The objects nearest to one that is in the index, or to several, themselves left out: a dense search by the mean of the means
-- of their chunks. The other parameters are those of pgknowbase_search_dense_v1. Objects that have no chunks, or that the
-- viewer may not find, do not count; where all are such, nothing is found.
--
--   SELECT object_key, similarity FROM pgknowbase_similar_v1('{7,7}', '{12,15}', 10);
CREATE OR REPLACE FUNCTION pgknowbase_similar_v1(
    of_sources integer[], of_keys text[], max_hits integer, filter pgknowbase_filter DEFAULT NULL,
    skip integer DEFAULT 0, exact_search_max_chunks integer DEFAULT 15000, record_plan boolean DEFAULT false)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _viewer CONSTANT pgknowbase_filter := pgknowbase_filter_v1(visible_to => filter.visible_to);
    _mean halfvec;
    _themselves bigint[];
    _sources integer[];
    _keys text[];
BEGIN
    IF EXISTS (SELECT FROM pgknowbase_space AS s WHERE s.is_active AND s.distributed) THEN
        SELECT array_agg(e.id), array_agg(e.content_type_id), array_agg(e.object_key) INTO _themselves, _sources, _keys
        FROM unnest(of_sources, of_keys) AS o (source, key)
        JOIN pgknowbase_externaldata AS e ON e.content_type_id = o.source AND e.object_key = o.key COLLATE "default" -- theirs may be another, which no index has
        WHERE filter.visible_to IS NULL OR pgknowbase_matches_filter(e, _viewer);
        _mean := (
            SELECT avg(m.mean) FROM pgknowbase_store_means(_sources, _keys) AS m
            JOIN unnest(_sources, _keys) AS o (source, id) ON o.source = m.source AND o.id = m.id);
    ELSE
        SELECT avg(m.embedding), array_agg(m.id) INTO _mean, _themselves
        FROM (
            SELECT e.id, (
                SELECT avg(c.embedding) FROM pgknowbase_chunk AS c WHERE c.source = e.content_type_id AND c.id = e.object_key
            )::halfvec AS embedding
            FROM unnest(of_sources, of_keys) AS o (source, key)
            CROSS JOIN LATERAL (
                SELECT x.id, x.content_type_id, x.object_key FROM pgknowbase_externaldata AS x
                WHERE x.content_type_id = o.source AND x.object_key = o.key COLLATE "default"
                    AND (filter.visible_to IS NULL OR pgknowbase_matches_filter(x, _viewer))
                OFFSET 0
            ) AS e
        ) AS m;
    END IF;
    IF _mean IS NULL THEN
        IF record_plan THEN
            PERFORM set_config('pgknowbase.search_plan', jsonb_build_object(
                'plan', 'exact_filtered', 'passing', 0, 'walked', 0, 'reranked', NULL, 'ef_search', NULL, 'index', NULL,
                'exact_search_max_chunks', exact_search_max_chunks, 'store_bytes', NULL, 'small_bytes', NULL)::text, true);
        END IF;
        RETURN;
    ELSIF cardinality(_themselves) = 1 THEN
        RETURN QUERY SELECT * FROM pgknowbase_search_dense_v1(
            _mean, max_hits, filter, _themselves[1], skip, exact_search_max_chunks, record_plan => record_plan);
    ELSE
        -- The search leaves out one object; of the others so many more are found.
        RETURN QUERY SELECT h.* FROM pgknowbase_search_dense_v1(
            _mean, max_hits + greatest(skip, 0) + cardinality(_themselves), filter, NULL, 0, exact_search_max_chunks,
            record_plan => record_plan) AS h
        WHERE h.external_data_id <> ALL (_themselves)
        ORDER BY h.score DESC, h.external_data_id LIMIT max_hits OFFSET greatest(skip, 0);
    END IF;
END
$pgknowbase$;
