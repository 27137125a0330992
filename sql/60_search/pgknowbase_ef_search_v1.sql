-- hnsw.ef_search of a search for so many hits: how many chunks it takes from the vector index at a time. What filters
-- other than sources leave out is taken in vain, so with them more. tuned: what pgknowbase_tune recall --save
-- has kept for the space, 100 where it is NULL. From a binary index,
-- which is rougher: how many objects are taken and re-ranked, 400 where it is NULL.
CREATE OR REPLACE FUNCTION pgknowbase_ef_search_v1(max_hits bigint, filtered boolean, tuned integer, index text)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
RETURN least(CASE index
    WHEN 'binary' THEN greatest(coalesce(tuned, 400), CASE WHEN tuned IS NULL THEN 10 ELSE 2 END * max_hits)
    ELSE greatest(coalesce(tuned, 100), 2 * max_hits, CASE WHEN filtered THEN 200 END)
END, 1000);
