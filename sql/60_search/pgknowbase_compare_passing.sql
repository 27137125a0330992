-- The objects that pass a filter and are nearest to a query vector, by comparing every chunk of them, in arrays of one length,
-- best first. For pgknowbase_search_exact_v1 and pgknowbase_search_dense_v1, which have the parameters.
--
--   wanted    how many objects at most
--   at_most   if more objects pass, there are no hits; NULL: compare them all
--   passing   how many objects pass, counted up to one more than at_most; the one to leave out counts as well
--
-- Most objects are compared by the vectors that stand beside what is filtered (pgknowbase_beside): a chunk in the store is
-- four pages away, and these are what such a search spends its time on. The others are compared in the store.
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
DECLARE
    _space CONSTANT bigint := (SELECT s.id FROM pgknowbase_space AS s WHERE s.is_active);
BEGIN
    WITH passed AS MATERIALIZED (
        SELECT e.id, e.content_type_id, e.object_key, e.similarity_threshold,
            coalesce(e.vectors_space = _space AND e.vectors IS NOT NULL, false) AS is_beside,
            CASE
                WHEN e.vectors_space IS DISTINCT FROM _space THEN NULL
                WHEN cardinality(e.vectors) = 1 THEN e.vectors[1] <=> query
                ELSE (SELECT min(v <=> query) FROM unnest(e.vectors) AS v)
            END AS distance
        FROM pgknowbase_externaldata AS e
        WHERE pgknowbase_matches_filter(e, filter) LIMIT at_most::bigint + 1
    ), counted AS MATERIALIZED (
        SELECT count(*) AS objects FROM passed
    ), compared AS (
        SELECT p.id, p.content_type_id AS source, p.object_key AS key, p.distance, p.similarity_threshold
        FROM passed AS p WHERE p.is_beside
        UNION ALL
        SELECT s.* FROM (
            SELECT DISTINCT ON (p.id)
                p.id, p.content_type_id, p.object_key, c.embedding <=> query AS distance, p.similarity_threshold
            FROM passed AS p
            JOIN pgknowbase_chunk AS c ON c.source = p.content_type_id AND c.id = p.object_key
            WHERE NOT p.is_beside AND (SELECT at_most IS NULL OR n.objects <= at_most FROM counted AS n)
            ORDER BY p.id, distance
        ) AS s
    ), hit AS (
        SELECT n.* FROM compared AS n
        WHERE n.id IS DISTINCT FROM exclude AND (SELECT at_most IS NULL OR n.objects <= at_most FROM counted AS n)
            AND 1 - n.distance >= coalesce(filter.threshold, n.similarity_threshold) AND n.distance <= 2
        ORDER BY n.distance, n.id
        LIMIT wanted
    )
    SELECT (SELECT n.objects FROM counted AS n), array_agg(h.id), array_agg(h.source), array_agg(h.key), array_agg(h.chunk_seq),
        array_agg(h.chunk), array_agg(1 - h.distance)
    INTO passing, ids, hit_sources, keys, seqs, chunks, similarities
    FROM (
        SELECT t.*, c.chunk_seq, c.chunk FROM hit AS t
        CROSS JOIN LATERAL (
            SELECT k.chunk_seq, k.chunk FROM pgknowbase_chunk AS k WHERE k.source = t.source AND k.id = t.key
            ORDER BY (k.embedding <=> query) + 0, k.chunk_seq LIMIT 1 -- the sum keeps it from walking the vector index
        ) AS c
        ORDER BY t.distance, t.id
    ) AS h;
END
$pgknowbase$;
