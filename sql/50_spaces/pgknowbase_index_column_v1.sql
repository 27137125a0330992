-- What the vector index of a space is made on. index: 'halfvec', the vectors in half precision; or 'binary', the sign
-- of each component, which the search re-ranks: pgknowbase_search_binary_v1. Both as the columns of pgknowbase_chunk
-- have it.
CREATE OR REPLACE FUNCTION pgknowbase_index_column_v1(index text, dimensions integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
RETURN CASE index
    WHEN 'binary' THEN format('(binary_quantize(embedding)::bit(%s)) bit_hamming_ops', dimensions)
    ELSE format('(embedding::halfvec(%s)) halfvec_cosine_ops', dimensions)
END;
