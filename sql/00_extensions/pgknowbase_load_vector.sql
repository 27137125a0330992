-- Loads pgvector by being created: Postgres reads the constant then. Only superusers may give a function a setting of a
-- library that the session has not loaded, such as hnsw.ef_search, and pg_dump writes functions in the order of their
-- names. So this one, before those of the search, lets any role restore a dump where vector is there already.
CREATE OR REPLACE FUNCTION pgknowbase_load_vector() RETURNS vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
RETURN '[1]'::vector;
