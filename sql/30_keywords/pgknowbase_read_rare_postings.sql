-- Of words that are in no row of pgknowbase_postings: their postings (pgknowbase_rare_postings) in each block, of documents of the sources
-- (NULL: of all). Where a block has documents of more than 63 sources, those of the others are among them.
CREATE OR REPLACE FUNCTION pgknowbase_read_rare_postings(lexemes text[], of_sources integer[])
RETURNS TABLE (word text, block bigint, postings integer[])
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET plan_cache_mode = 'force_generic_plan' SET enable_seqscan = 'off' SET enable_memoize = 'off' SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH found AS MATERIALIZED ( -- in all blocks at once, instead of a look into the index for each
        SELECT w.word, r.block, r.postings[coalesce(r.ends[h.place - 1], 0) + 1:r.ends[h.place]] AS postings
        FROM unnest(lexemes) AS w (word)
        CROSS JOIN LATERAL (SELECT hashtext(w.word) AS hash OFFSET 0) AS n
        CROSS JOIN (SELECT DISTINCT b.parts FROM pgknowbase_postings_block AS b) AS k
        JOIN pgknowbase_rare_postings AS r ON r.part = k.parts + (n.hash & (k.parts - 1))
        CROSS JOIN LATERAL (SELECT array_position(r.hashes, n.hash) AS place OFFSET 0) AS h
        WHERE h.place IS NOT NULL
    )
    SELECT f.word, f.block, CASE
        WHEN of_sources IS NULL OR b.sources <@ of_sources THEN f.postings
        ELSE ARRAY(
            SELECT u.posting FROM unnest(f.postings) AS u (posting)
            WHERE u.posting & 129024 = 0 OR b.sources[u.posting >> 11 & 63] = ANY (of_sources)) END
    FROM found AS f JOIN pgknowbase_postings_block AS b ON b.block = f.block
    WHERE of_sources IS NULL OR b.sources && of_sources;
END
$pgknowbase$;
