-- In a statement that counts the chunks of an object in the store of a space: the expression that brings their vectors
-- together, for the column vectors of its external data. There a filtered search compares them, on the page where it reads the
-- columns that it filters by, instead of looking up each chunk in the store.
--
-- Vectors of more than 1,600 bytes are not kept there: Postgres would store them apart from the row, which is as slow
-- as the store. Nor are those of a distributed store, which searches ask otherwise.
CREATE OR REPLACE FUNCTION pgknowbase_beside(space pgknowbase_space) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
RETURN CASE WHEN (space).distributed THEN 'NULL::halfvec[]'
    ELSE format('CASE WHEN count(*) * %s <= 1600 THEN array_agg(embedding::halfvec(%s)::halfvec) END',
        2 * (space).dimensions + 8, (space).dimensions) END;
