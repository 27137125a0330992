-- What two chunks of one source have in common if the vector index cannot tell their vectors apart: it compares in half
-- precision. A chunk store keeps it in a generated column.
--
-- It is inlined where it is called: hence no SET. Its names are resolved when it is created.
CREATE OR REPLACE FUNCTION pgknowbase_vector_key(source integer, embedding halfvec) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
RETURN md5(int4send(source) || halfvec_send(embedding))::uuid;
