-- As pgknowbase_search_dense_v1, which calls it, by comparing every chunk of the objects that pass: for few objects.
CREATE OR REPLACE FUNCTION pgknowbase_search_exact_v1(
    query halfvec, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    skip integer DEFAULT 0, spans boolean DEFAULT true)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0 -- starting one takes longer than the scan
SET enable_seqscan = 'on'
SET jit = 'off'
SET enable_sort = 'on'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH best AS (
        SELECT DISTINCT ON (e.id)
            e.id AS external_data_id, c.source, c.id, c.chunk_seq, c.embedding <=> query AS distance, e.similarity_threshold
        FROM pgknowbase_externaldata AS e
        JOIN pgknowbase_chunk AS c ON c.source = e.content_type_id AND c.id = e.object_key
        WHERE pgknowbase_matches_filter(e, filter) AND e.id IS DISTINCT FROM exclude
        ORDER BY e.id, distance
    ), hit AS (
        SELECT b.* FROM best AS b
        WHERE 1 - b.distance >= coalesce(filter.threshold, b.similarity_threshold) AND b.distance <= 2
        ORDER BY b.distance, b.external_data_id
        LIMIT max_hits OFFSET greatest(skip, 0)
    )
    SELECT h.source, h.id, h.external_data_id, h.chunk_seq, c.chunk, p.span, 1 - h.distance, NULL::float8,
        1 - h.distance
    FROM hit AS h
    CROSS JOIN LATERAL (
        SELECT k.chunk FROM pgknowbase_chunk AS k
        WHERE k.source = h.source AND k.id = h.id AND k.chunk_seq = h.chunk_seq OFFSET 0
    ) AS c
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(h.source, CASE WHEN spans THEN h.id END, c.chunk, s.template) AS p
        ON true
    ORDER BY h.distance, h.external_data_id;
END
$pgknowbase$;
