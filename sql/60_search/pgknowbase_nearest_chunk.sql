-- The chunk of an object that is nearest to a query vector, in a store that is not distributed. A function of its own since
-- Citus refuses each statement that has it, also where it would not be reached.
CREATE OR REPLACE FUNCTION pgknowbase_nearest_chunk(
    of_source integer, of_key text, query halfvec, OUT chunk_seq integer, OUT chunk text)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET plan_cache_mode = 'force_generic_plan' SET enable_seqscan = 'off' SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    SELECT c.chunk_seq, c.chunk INTO pgknowbase_nearest_chunk.chunk_seq, pgknowbase_nearest_chunk.chunk
    FROM pgknowbase_chunk AS c WHERE c.source = of_source AND c.id = of_key
    ORDER BY (c.embedding <=> query) + 0, c.chunk_seq LIMIT 1; -- the sum keeps it from walking the vector index
END
$pgknowbase$;
