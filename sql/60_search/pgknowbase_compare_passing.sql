-- The objects that pass a filter and are nearest to a query vector, by comparing every chunk of them, in arrays of one length,
-- best first. For pgknowbase_search_exact_v1 and pgknowbase_search_dense_v1, which have the parameters.
--
--   wanted    how many objects at most
--   at_most   if more objects pass, none is compared; NULL: compare them all
--   passing   how many objects pass, counted up to one more than at_most; the one to leave out counts as well
CREATE OR REPLACE FUNCTION pgknowbase_compare_passing(
    query halfvec, wanted bigint, filter pgknowbase_filter, exclude bigint, at_most integer,
    OUT passing bigint, OUT ids bigint[], OUT hit_sources integer[], OUT keys text[], OUT seqs integer[],
    OUT chunks text[], OUT similarities float8[])
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
-- Planned with the filter's value: only then does the planner choose the index that serves it.
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0 -- starting one takes longer than the scan
SET enable_seqscan = 'on'
SET jit = 'off'
SET enable_sort = 'on'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    WITH passed AS MATERIALIZED (
        SELECT e.id, e.content_type_id, e.object_key, e.similarity_threshold FROM pgknowbase_externaldata AS e
        WHERE pgknowbase_matches_filter(e, filter) LIMIT at_most::bigint + 1
    ), counted AS MATERIALIZED (
        SELECT count(*) AS objects FROM passed
    ), best AS (
        SELECT DISTINCT ON (p.id)
            p.id, c.source, c.id AS key, c.chunk_seq, c.embedding <=> query AS distance, p.similarity_threshold
        FROM passed AS p
        JOIN pgknowbase_chunk AS c ON c.source = p.content_type_id AND c.id = p.object_key
        WHERE p.id IS DISTINCT FROM exclude AND (SELECT at_most IS NULL OR n.objects <= at_most FROM counted AS n)
        ORDER BY p.id, distance
    ), hit AS (
        SELECT b.* FROM best AS b
        WHERE 1 - b.distance >= coalesce(filter.threshold, b.similarity_threshold) AND b.distance <= 2
        ORDER BY b.distance, b.id
        LIMIT wanted
    )
    SELECT (SELECT n.objects FROM counted AS n), array_agg(h.id), array_agg(h.source), array_agg(h.key), array_agg(h.chunk_seq),
        array_agg(h.chunk), array_agg(1 - h.distance)
    INTO passing, ids, hit_sources, keys, seqs, chunks, similarities
    FROM (
        SELECT t.*, c.chunk FROM hit AS t
        CROSS JOIN LATERAL (
            SELECT k.chunk FROM pgknowbase_chunk AS k
            WHERE k.source = t.source AND k.id = t.key AND k.chunk_seq = t.chunk_seq OFFSET 0
        ) AS c
        ORDER BY t.distance, t.id
    ) AS h;
END
$pgknowbase$;
